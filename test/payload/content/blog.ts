import * as L from '../src/lex.ts'
import type { Piece } from './index.ts'

export const blogPosts: Piece[] = [
  {
    collection: 'blog-posts',
    data: { title: 'The lighthouse keeps its lamp', internalRef: 'B-101', content: L.doc(
      L.p('After two years of petitions the harbour keeps the rotating lamp. Satellites made it unnecessary; the town made it necessary again.'),
      L.p('The lens was ground in 1887 and weighs as much as a small car, yet it floats on mercury and can be turned with one finger.'),
    ) },
    translations: { de: { title: 'Der Leuchtturm behält sein Licht', content: L.doc(
      L.p('Nach zwei Jahren voller Eingaben bleibt dem Hafen das drehende Feuer. Satelliten hatten es überflüssig gemacht, die Stadt machte es wieder nötig.'),
      L.p('Die Linse wurde 1887 geschliffen und wiegt so viel wie ein kleines Auto; sie schwimmt auf Quecksilber und lässt sich mit einem Finger drehen.'),
    ) } },
  },
  {
    collection: 'blog-posts',
    data: { title: 'Swifts are back', internalRef: 'B-102', content: L.doc(
      L.p('They arrived on the second of May, four days later than last year. A swift sleeps, eats and mates on the wing and touches a wall only to breed.'),
      L.p('If you renovate a façade, leave the gaps under the eaves open until August.'),
    ) },
    translations: { fr: { title: 'Les martinets sont de retour', content: L.doc(
      L.p("Ils sont arrivés le deux mai, quatre jours plus tard que l'an dernier. Le martinet dort, mange et s'accouple en vol ; il ne touche un mur que pour nicher."),
    ) } },
  },
  {
    collection: 'blog-posts',
    data: { title: 'A bridge for hedgehogs', internalRef: 'B-103', content: L.doc(
      L.p('It cost less than a parking space: a ramp of oak planks over the drainage channel, with a lip on each side. In its first month the camera counted forty-one crossings, one of them by a very surprised cat.'),
    ) },
  },
  {
    collection: 'blog-posts',
    data: { title: 'Interview with the ferrywoman', internalRef: 'B-104', content: L.doc(L.p('Not yet authorised by her. Do not publish before Thursday.')) },
    draft: true,
  },
]
