import * as L from '../src/lex.ts'
import type { Piece } from './index.ts'

const bold = (s: string) => L.t(s, 1)
const italic = (s: string) => L.t(s, 2)
const points = (...items: string[]) => L.list('bullet', items.map((s, i) => L.li(i + 1, [s])))
const steps = (...items: string[]) => L.list('number', items.map((s, i) => L.li(i + 1, [s])))

const post = (slug: string, title: string, description: string, content: unknown, more: Partial<Piece> & { fields?: object } = {}): Piece => {
  const { fields, ...rest } = more
  return { collection: 'posts', data: { title, slug, description, content, ...fields }, ...rest }
}

export const posts: Piece[] = [
  post('first-sourdough', 'Your first sourdough loaf', 'A loaf from flour, water, salt and a little patience.', L.doc(
    L.p('A sourdough starter is nothing but flour and water left alone long enough for wild yeast to move in. Feed it at the same hour every day and after a week it doubles within four hours: that is the moment it can raise bread.'),
    L.h(2, 'What you need'),
    points('450 g strong wheat flour', '50 g wholemeal rye', '350 g water at 26 °C', '100 g active starter', '10 g salt'),
    L.h(2, 'The long afternoon'),
    steps('Mix flour and water and let them rest for forty minutes.', 'Fold in the starter, then the salt.', 'Stretch and fold every half hour, four times.', 'Shape, put the dough in a floured basket and leave it in the fridge overnight.', 'Bake straight from the cold: 20 minutes under a lid at 250 °C, 25 without.'),
    L.quote('If it is flat, it is still bread. Toast it and try again on Sunday.'),
  ), { fields: { tags: ['baking', 'bread'], faqItems: [{ question: 'Why is my crumb dense?', answer: L.doc('Most often the starter was not ready, or the kitchen was colder than the recipe thinks.') }] } }),
  post('winter-tyres', 'Do you need winter tyres on a bicycle?', 'Studs, tread and pressure, tested on a frozen canal path.', L.doc(
    L.p('On dry cold asphalt a summer tyre with soft rubber is enough. On ice nothing helps but ', bold('studs'), '; tread only moves the slush aside.'),
    L.h(2, 'Pressure first'),
    L.p('Let out a quarter of the air before you buy anything. A 37 mm tyre at 2.5 bar has a contact patch that is noticeably longer, and the ride over frozen ruts becomes almost polite.'),
    L.h(2, 'What we measured'),
    L.table(
      L.row(L.cell(1, L.p('Tyre')), L.cell(1, L.p('Braking from 20 km/h on ice'))),
      L.row(L.cell(0, L.p('Summer slick')), L.cell(0, L.p('19 m'))),
      L.row(L.cell(0, L.p('Winter tread')), L.cell(0, L.p('17 m'))),
      L.row(L.cell(0, L.p('240 studs')), L.cell(0, L.p('8 m'))),
    ),
  ), { fields: { tags: ['cycling'], tone: 'casual' } }),
  post('reading-the-night-sky', 'Reading the night sky without a telescope', 'Five things to find with bare eyes from a balcony.', L.doc(
    L.p('Give your eyes twenty minutes in the dark and do not look at your phone. Then start with something that cannot be missed: the Plough. Follow the two stars at its end upwards, five times their distance, and you arrive at Polaris.'),
    L.p('The brightest "star" that does not twinkle is usually Jupiter. With ordinary binoculars held against a wall you can see up to four of its moons, exactly as Galileo drew them in 1610.'),
    L.h(3, 'A calendar for the year'),
    points('January: the Orion nebula, a smudge below the belt', 'April: the Beehive cluster in Cancer', 'August: the Perseids, best after midnight', 'November: the Andromeda galaxy, two million years old light'),
  ), { fields: { tags: ['astronomy'] } }),
  post('repair-cafe', 'What a repair café fixes in one evening', 'Thirty-one broken things, four soldering irons, one sewing machine.', L.doc(
    L.p('The queue forms at six. A toaster, two lamps, a radio from 1964, a rucksack with a torn strap. By nine, twenty-two of thirty-one things work again; the others go home with a diagnosis.'),
    L.h(2, 'Why things break'),
    L.p('Half of all failures we see are ', italic('mechanical'), ': a cable that was bent once too often, a switch full of crumbs. Electronics come second, and nearly always it is the capacitor in the power supply.'),
    L.block('callout', { tone: 'warn', heading: 'Mains voltage', body: L.doc('Nothing is opened while it is plugged in, and nothing leaves without an insulation test.'), points: [{ id: 'aaaaaaaaaaaaaaaaaaaaaa01', point: 'Bring the charger' }] }),
  ), { fields: { tags: ['repair', 'community'] } }),
  post('tomatoes-on-a-balcony', 'Tomatoes on a north-east balcony', 'Four hours of morning sun are enough for the right variety.', L.doc(
    L.p('Choose bush tomatoes that stay below a metre and set fruit early. Cherry varieties forgive shade; beefsteaks do not.'),
    L.h(2, 'Water'),
    L.p('A ten litre pot dries out in a day in July. Water in the morning, onto the soil and not the leaves, until it runs out at the bottom. A layer of straw halves the loss.'),
    L.p('Blossom end rot is not a disease: it is calcium that could not travel, because the water came irregularly.'),
  ), { fields: { tags: ['garden'] } }),
  post('a-short-history-of-the-index', 'A short history of the index', 'From concordances on vellum to vectors in memory.', L.doc(
    L.p('In 1230 five hundred Dominican friars in Paris sorted every word of the Bible by hand. Their concordance was the first full-text index, and it had the problem that every index has had since: the text moved on and the index did not know.'),
    L.p('A back-of-the-book index answers "where is this word". A vector index answers "where is this thought", but it ages in the same way. Publish a correction and the old sentence is still found, unless someone tells it.'),
    L.quote('An index is a promise about another text.'),
  ), { fields: { tags: ['history', 'search'] } }),
  post('quiet-hours', 'Quiet hours for a shared office', 'Three rules that survived a year of trying.', L.doc(
    L.p('No meetings before eleven. Headphones mean no. Whoever breaks a rule waters the plants.'),
    L.p('We measured: interruptions fell from nine to three a morning, and the plants are doing well.'),
  ), { fields: { tags: ['work'] } }),
  post('salary-bands', 'Publishing our salary bands', 'Unfinished: figures to be confirmed by the board.', L.doc(
    L.p('This is a draft. It must not be found by anyone before the board has seen it.'),
  ), { draft: true }),
]
