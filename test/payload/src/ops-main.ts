// Everything that can be done to documents of the main variation, through Payload: the operations of its Local API and REST
// with all their options, and adapter calls as plugins and hooks make them.
import { handleEndpoints, type Payload } from 'payload'
import * as L from './lex.ts'
import { local, refused, type Options, type Step } from './steps.ts'

export function main(payload: Payload, options: Options): Step[] {
  const { create, update, remove, duplicate, updateGlobal } = local(payload, options)
  const db = payload.db as any
  const s: any = {} // ids of what the steps have made
  const ann = { email: 'a@example.com', password: 'secret' }
  const big = L.noise(12000, 7)
  const full = (n: number) => ({
    title: `Full ${n}`, slug: `full-${n}`, content: L.doc(`Body ${n} ${big}`), description: 'Desc', excerpt: { shortText: 'short', longText: 'long' },
    layout: [
      { blockType: 'hero', blockName: 'Top hero', heading: 'Hero', subHeading: 'Sub', body: L.doc('hero body'), ctaLinks: [
        { label: 'Label one', linkURL: '/a', kind: 'primary', audience: ['dev', 'ops'], keywords: ['k1', 'k2'], subLinks: [{ label: 's1' }, { label: 's2' }] }, { label: 'Label two', linkURL: '/b', kind: 'secondary' }] },
      { blockType: 'quoteBlock', quote: 'Q1', author: 'Xavier', relatedCategories: [s.cat1, s.cat2], mainCategory: s.cat1, cite: { source: 'src', publishedYear: 1999 } },
      { blockType: 'two-columns', columns: [{ width: 'half', content: [{ blockType: 'quoteBlock', quote: 'nested Quote', author: 'Yves', relatedCategories: [s.cat2] }, { blockType: 'textBlock', text: L.doc('nested text') }] }, { width: 'full', content: [{ blockType: 'textBlock', text: L.doc('second column') }] }] },
      { blockType: 'featureGrid', intro: 'Intro', items: [{ name: 'i1', detail: 'd1' }, { name: 'i2', detail: 'd2' }] },
    ],
    faqItems: [{ question: 'Why?', answer: L.doc('Because.'), sources: [{ title: 'src1' }] }, { question: 'How?', answer: L.doc('So.') }],
    tags: ['t1', 't2', 't3'], scores: [1, 2.5], channels: ['web', 'app'], tone: 'formal', audience: 'dev',
    categories: [s.cat1, s.cat2], primaryCategory: s.cat1, related: [{ relationTo: 'categories', value: s.cat2 }], polyOne: { relationTo: 'users', value: s.user },
    heroImage: s.media, gallery: [s.media], seoMeta: { metaTitle: 'MT', metaDescription: 'MD' }, sideNote: 'side', deepGroup: { innerGroup: { noteText: 'deep', bullets: [{ bullet: 'b1' }, { bullet: 'b2' }] } },
    collapsedText: 'coll', rowText: 'row', extraJSON: { a: 1, root: { x: 'not lexical' } }, snippet: 'let x = 1', featured: true, publishedAt: '2024-01-02T03:04:05.678Z', contactEmail: 'c@example.com', rating: 4.5,
  })
  const post = (data: object, more: object = {}) => update('posts', s.post, data, more)
  const published = (data: object = {}) => post({ ...data, _status: 'published' })
  const current = async (): Promise<any> => payload.findByID({ collection: 'posts', id: s.post, depth: 0 })
  const blog = (data: object, more: object = {}) => update('blog-posts', s.blog, data, more)
  const event = (data: object, more: object = {}) => update('events', s.event, data, more)
  const several = () => ({ id: { in: [s.post, s.second, s.plain] } })
  const schedule = (type: string) => payload.jobs.queue({
    task: 'schedulePublish', waitUntil: new Date(Date.now() - 1000),
    input: { type, doc: { relationTo: 'news', value: s.news }, user: { relationTo: 'users', value: s.user } },
  } as any)
  const transaction = async (end: 'commitTransaction' | 'rollbackTransaction', title: string) => {
    const transactionID: any = await db.beginTransaction()
    const req: any = { transactionID, payload }
    await payload.update({ collection: 'posts', id: s.post, data: { title, _status: 'published' }, req } as any)
    await payload.update({ collection: 'categories', id: s.cat2, data: { name: title }, req } as any)
    await db[end](transactionID)
  }
  const rest = async (method: string, at: string, body?: object) => {
    const response = await handleEndpoints({ config: payload.config, request: new Request('http://localhost/api' + at, {
      method, headers: { 'content-type': 'application/json', Authorization: `JWT ${s.token}` }, body: body && JSON.stringify(body),
    }) } as any)
    if (!response.ok) throw new Error(`${method} ${at} answers ${response.status}: ${await response.text()}`)
    return response.json() as any
  }

  return [
    // no drafts
    ['category-create', async () => { s.cat1 = await create('categories', { name: 'One', summary: 'first' }) }],
    ['category-create-more', async () => { s.cat2 = await create('categories', { name: 'Two' }); s.cat3 = await create('categories', { name: 'Three' }) }],
    ['category-update', () => update('categories', s.cat1, { name: 'One again' })],
    ['category-update-noop', () => update('categories', s.cat1, { name: 'One again' })],
    ['user-create', async () => { s.user = await create('users', { ...ann, name: 'Ann' }) }],
    ['user-login', async () => { s.token = (await payload.login({ collection: 'users', data: ann })).token }],
    ['media-create', async () => {
      const file = { data: Buffer.from('hello'), mimetype: 'text/plain', name: 'hello.txt', size: 5 }
      s.media = await create('media', { alt: 'a file', caption: L.doc('caption text') }, { file })
    }],

    // a post, from its first draft on
    ['post-create-draft-min', async () => { s.min = await create('posts', { title: 'Min' }, { draft: true }) }],
    ['post-create-draft-full', async () => { s.post = await create('posts', full(1), { draft: true }) }],
    ['post-autosave-1', () => post({ title: 'Full 1 autosaved' }, { draft: true, autosave: true })],
    ['post-autosave-2', () => post({ title: 'Full 1 autosaved again' }, { draft: true, autosave: true })],
    ['post-publish', () => published()],
    ['post-edit-published-as-draft', () => post({ title: 'Full 1 draft edit' }, { draft: true })],
    ['post-autosave-on-published', () => post({ description: 'autosaved desc' }, { draft: true, autosave: true })],
    ['post-publish-again', () => published()],
    ['post-update-published-noop', () => published()],
    ['post-update-title-only', () => published({ title: 'New title' })],
    ['post-nested-block-only', async () => {
      const { layout } = await current()
      layout[2].columns[0].content[1].text = L.doc('nested text CHANGED')
      return published({ layout })
    }],
    ['post-block-reorder', async () => { const { layout: [a, b, ...more] } = await current(); return published({ layout: [b, a, ...more] }) }],
    ['post-array-only', async () => published({ faqItems: [...(await current()).faqItems, { question: 'new?' }] })],
    ['post-array-reorder', async () => published({ faqItems: (await current()).faqItems.toReversed() })],
    ['post-rels-only', () => published({ categories: [s.cat2, s.cat3] })],
    ['post-texts-only', () => published({ tags: ['t1', 'tX'] })],
    ['post-texts-empty', () => published({ tags: [] })],
    ['post-block-remove', async () => { const { layout: [, ...more] } = await current(); return published({ layout: more }) }],
    ['post-blocks-empty', () => published({ layout: [] })],
    ['post-array-empty', () => published({ faqItems: [] })],
    ['post-update-without-status', () => post({ title: 'no status given' })],
    ['post-unpublish', () => post({ _status: 'draft' })],
    ['post-publish-anew', () => published()],
    ['post-unpublishAllLocales', () => post({}, { unpublishAllLocales: true })],
    ['post-create-published', async () => { s.second = await create('posts', { ...full(2), _status: 'published' }) }],
    ['post-create-no-status', async () => { s.plain = await create('posts', { title: 'no status' }) }],
    ['post-duplicate', () => duplicate('posts', s.second)],
    ['post-duplicate-published', () => duplicate('posts', s.second, { data: { slug: 'full-2-again', _status: 'published' } })],
    ['post-restore-version', async () => {
      const { docs } = await payload.findVersions({ collection: 'posts', where: { parent: { equals: s.post } }, sort: 'createdAt', limit: 50, depth: 0 })
      s.version = docs.find((v: any) => v.version._status === 'published')!.id
      return payload.restoreVersion({ collection: 'posts', id: s.version })
    }],
    ['post-restore-version-draft', () => payload.restoreVersion({ collection: 'posts', id: s.version, draft: true } as any)],
    ['post-bulk-update', () => update('posts', several(), { description: 'bulk', _status: 'published' })],
    ['post-bulk-update-draft', () => update('posts', several(), { description: 'bulk draft' }, { draft: true })],
    ['post-transaction-of-caller', () => transaction('commitTransaction', 'in one transaction')],
    ['post-rolled-back', () => transaction('rollbackTransaction', 'rolled back')],
    ['post-validation-error', () => refused('contactEmail', () => published({ contactEmail: 'nope' }))],

    // under the Local API: no hooks, no versions, no transaction
    ['db-updateOne', () => db.updateOne({ collection: 'posts', id: s.post, data: { title: 'db level' } })],
    ['db-updateOne-push', () => db.updateOne({ collection: 'posts', id: s.post, data: { faqItems: { $push: { id: 'aaaaaaaaaaaaaaaaaaaaaaaa', question: 'pushed' } } } })],
    ['db-updateOne-rel-push', () => db.updateOne({ collection: 'posts', id: s.post, data: { categories: { $push: [s.cat1] } } })],
    ['db-updateOne-rel-remove', () => db.updateOne({ collection: 'posts', id: s.post, data: { categories: { $remove: [s.cat1] } } })],

    ['category-delete-referenced', () => remove('categories', s.cat1)],
    ['post-delete', () => remove('posts', s.second)],
    ['post-delete-bulk', () => remove('posts', { id: { in: [s.min, s.plain] } })],

    // localized
    ['blog-create-draft-en', async () => {
      s.blog = await create('blog-posts', {
        title: 'EN title', content: L.doc('EN body'), internalRef: 'R1', summary: { lead: 'EN lead', points: [{ point: 'EN p1' }] }, keywords: ['en1', 'en2'], labels: ['l1'], related: [s.cat2], channels: ['web'],
        layout: [{ blockType: 'textSection', heading: 'EN heading', anchor: 'a1', rows: [{ cell: 'EN cell' }] }], sections: [{ blockType: 'promo', text: 'EN promo', keywords: ['enp'], items: [{ item: 'EN item' }] }], steps: [{ step: 'EN step' }], notes: [{ note: 'EN note' }],
      }, { locale: 'en', draft: true })
    }],
    ['blog-update-de-draft', async () => {
      const x: any = await payload.findByID({ collection: 'blog-posts', id: s.blog, draft: true, depth: 0, locale: 'en' })
      return blog({
        title: 'DE Titel', content: L.doc('DE Text'), summary: { lead: 'DE lead', points: [{ point: 'DE punkt' }] }, keywords: ['de1'], related: [s.cat3], channels: ['mail'],
        layout: [{ ...x.layout[0], heading: 'DE heading', rows: [{ ...x.layout[0].rows[0], cell: 'DE zelle' }] }], sections: [{ blockType: 'promo', text: 'DE promo', items: [{ item: 'DE item' }] }], steps: [{ step: 'DE schritt' }], notes: [{ ...x.notes[0], note: 'DE notiz' }],
      }, { locale: 'de', draft: true })
    }],
    ['blog-publish-specific-locale-en', () => blog({ _status: 'published' }, { locale: 'en', publishSpecificLocale: 'en' })],
    ['blog-publish-all', () => blog({ _status: 'published' }, { locale: 'en' })],
    ['blog-update-de-title', () => blog({ title: 'DE Titel 2', _status: 'published' }, { locale: 'de' })],
    ['blog-update-fr-first', () => blog({ title: 'FR titre', _status: 'published' }, { locale: 'fr' })],
    ['blog-edit-de-draft', () => blog({ title: 'DE Titel draft' }, { locale: 'de', draft: true })],
    ['blog-publish-specific-locale-fr', () => blog({ title: 'FR titre 2', _status: 'published' }, { locale: 'fr', publishSpecificLocale: 'fr' })],
    ['blog-update-nonlocalized', () => blog({ internalRef: 'R2', _status: 'published' })],
    ['blog-unpublish', () => blog({ _status: 'draft' })],
    ['blog-publish-anew', () => blog({ _status: 'published' })],
    ['blog-delete', () => remove('blog-posts', s.blog)],

    // trash
    ['event-create', async () => { s.event = await create('events', { title: 'Ev', content: L.doc('ev body'), agenda: [{ item: 'an item' }], _status: 'published' }) }],
    ['event-trash', () => event({ deletedAt: new Date().toISOString() })],
    ['event-restore-from-trash', () => event({ deletedAt: null }, { trash: true })],
    ['event-trash-again', () => event({ deletedAt: new Date().toISOString() })],
    ['event-restore-as-published', () => event({ deletedAt: null, _status: 'published' }, { trash: true })],
    ['event-trash-draft-true', () => event({ deletedAt: new Date().toISOString() }, { draft: true })],
    ['event-delete-permanently', () => remove('events', s.event, { trash: true })],
    ['note-create', async () => { s.note = await create('notes', { text: 'a note' }) }],
    ['note-trash', () => update('notes', s.note, { deletedAt: new Date().toISOString() })],

    // scheduled
    ['news-create-draft', async () => { s.news = await create('news', { title: 'Sched', content: L.doc('sched') }, { draft: true }) }],
    ['news-schedule-publish', () => schedule('publish')],
    ['news-publish-by-schedule', () => payload.jobs.run({ allQueues: true })],
    ['news-schedule-unpublish', () => schedule('unpublish')],
    ['news-unpublish-by-schedule', () => payload.jobs.run({ allQueues: true })],

    // globals
    ['global-first-draft', () => updateGlobal('site-settings', { siteName: 'Site', tagline: 'EN tag', nav: [{ label: 'Home' }], about: L.doc('about') }, { draft: true })],
    ['global-publish', () => updateGlobal('site-settings', { _status: 'published' })],
    ['global-edit-draft', () => updateGlobal('site-settings', { siteName: 'Site two' }, { draft: true })],
    ['global-publish-draft', () => updateGlobal('site-settings', { _status: 'published' })],
    ['global-locale-all', () => updateGlobal('site-settings', { tagline: { en: 'EN tag two', de: 'DE tag', fr: 'FR tag' }, _status: 'published' }, { locale: 'all' })],
    ['global-unpublish', () => updateGlobal('site-settings', { _status: 'draft' })],
    ['global-footer-first', () => updateGlobal('footer', { copyright: 'copyright one' })],
    ['global-footer-second', () => updateGlobal('footer', { copyright: 'copyright two' })],

    // ids and tables of the project's own naming
    ['product-create', () => create('products', { id: "sku/1 'ü", name: 'Product', description: 'described', variants: [{ label: 'a variant' }], size: 's', colors: ['red', 'blue'], features: [{ blockType: 'quoteBlock', quote: 'product quote' }] })],
    ['product-update', () => update('products', "sku/1 'ü", { name: 'Product two' })],
    ['product-delete', () => remove('products', "sku/1 'ü")],
    ['numbered-create', () => create('numbered', { id: 1.5, text: 'numbered text' })],

    // REST
    ['rest-create-draft', async () => { s.rest = (await rest('POST', '/posts?draft=true', { title: 'rest', tags: ['rest tag'] })).doc.id }],
    ['rest-patch-publish', () => rest('PATCH', `/posts/${s.rest}`, { title: 'rest two', _status: 'published' })],
    ['rest-patch-autosave', () => rest('PATCH', `/posts/${s.rest}?draft=true&autosave=true`, { title: 'rest three' })],
    ['rest-bulk-patch', () => rest('PATCH', `/posts?where[id][in]=${s.rest},${s.post}`, { description: 'rest bulk', _status: 'published' })],
    ['rest-unpublish', () => rest('PATCH', `/posts/${s.rest}?unpublishAllLocales=true`, {})],
    ['rest-delete', () => rest('DELETE', `/posts/${s.rest}`)],
  ]
}
