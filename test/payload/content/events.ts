import * as L from '../src/lex.ts'
import type { Piece } from './index.ts'

const event = (title: string, startsAt: string, content: unknown, agenda: string[], more: Partial<Piece> = {}): Piece => ({ collection: 'events', data: { title, startsAt, content, agenda: agenda.map((item) => ({ item })) }, ...more })

export const events: Piece[] = [
  event('Bread day at the community oven', '2027-03-14T08:00:00.000Z', L.doc(
    L.p('The wood-fired oven behind the library is lit at five in the morning and stays hot until the evening. Bring a shaped loaf; there is room for sixty.'),
    L.p('Children bake flatbread at eleven.'),
  ), ['Oven is lit', 'First loaves', 'Flatbread with children']),
  event('Lecture: what the tide tables do not tell', '2027-04-02T18:30:00.000Z', L.doc(
    L.p('An oceanographer explains why the highest water of the year never comes on the predicted day: wind, air pressure and the shape of a bay add up to half a metre.'),
  ), ['Welcome', 'Lecture', 'Questions']),
  event('Repair café, spring edition', '2027-04-18T16:00:00.000Z', L.doc(
    L.p('Bring lamps, radios, trousers and bicycles. Four volunteers solder, two sew, one explains why it cannot be saved.'),
  ), ['Doors open', 'Last things accepted', 'Sweeping up']),
  event('Night walk (cancelled)', '2027-05-07T20:00:00.000Z', L.doc(
    L.p('Cancelled because of the storm damage in the forest.'),
  ), ['Meeting point'], { trashed: true }),
]
