// What Payload itself says is published: the oracle that an index is compared with. Documents come from payload.find and
// payload.findGlobal, what of them is text from the project's own configuration; so it shares nothing with cdc's reading of
// the tables and of Postgres' catalog.
import type { Payload } from 'payload'

export type Entry = {
  collection: string // or global
  id: string
  locale?: string // of a localized collection
  title: string
  content: string // the plain text that must be found in the index
  words: string // every string anywhere in the document: nothing else may be found
  updatedAt?: string // unless the collection keeps no times
}

// readback returns the published, not trashed entries of the collections and globals: one for a document, or one for each
// of its locales that says something of its own (no fallback). A document that says nothing in any locale has one without a
// locale, unless each locale is published by itself.
export async function readback(payload: Payload, slugs?: string[] | null): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const slug of slugs ?? withDrafts(payload)) {
    const config: any = payload.collections[slug]?.config ?? payload.config.globals.find((g) => g.slug === slug)
    if (!config) throw new Error(`no collection or global "${slug}"`)
    const drafts = config.versions?.drafts
    const localized = payload.config.localization && hasLocalized(config.flattenedFields)
    const silent = new Map<string, Entry>() // that have said nothing in any locale so far
    const spoken = new Set<string>()
    for (const locale of localized ? codes(payload) : [undefined]) {
      for (const doc of await documents(payload, slug, locale)) {
        if (drafts && doc._status !== 'published' || doc.deletedAt) continue
        const texts = textsOf(config.flattenedFields, doc)
        const title = titleOf(config.flattenedFields, doc)
        const content = texts.filter((t) => !(t.top && t.text.trim() === title)).map((t) => t.text).join('\n\n')
        if (!title && !content.trim()) continue
        const entry: Entry = {
          collection: slug, id: String(doc.id), title, content, words: strings(doc).join('\n'),
          ...(doc.updatedAt && { updatedAt: doc.updatedAt }),
        }
        if (localized && !texts.some((t) => t.localized)) {
          silent.set(entry.id, entry)
          continue
        }
        spoken.add(entry.id)
        entries.push({ ...entry, ...(locale && { locale }) })
      }
    }
    if (!drafts?.localizeStatus) entries.push(...[...silent.values()].filter((e) => !spoken.has(e.id)))
  }
  return entries
}

export const withDrafts = (payload: Payload): string[] =>
  payload.config.collections.filter((c) => (c.versions as any)?.drafts && !c.auth).map((c) => c.slug)

const codes = (payload: Payload): string[] => (payload.config.localization ? payload.config.localization.localeCodes : [])

async function documents(payload: Payload, slug: string, locale?: string): Promise<any[]> {
  const args: any = { locale, fallbackLocale: false, depth: 0, overrideAccess: true }
  if (payload.collections[slug]) return (await payload.find({ ...args, collection: slug, pagination: false, trash: true })).docs
  const doc: any = await payload.findGlobal({ ...args, slug })
  return doc?.id == null ? [] : [doc] // never published
}

// The fields of rows, collapsibles and unnamed tabs are in flattenedFields already; groups and named tabs have their own.
const inner = (field: any): any[][] =>
  field.type === 'blocks' ? field.blocks.map((b) => b.flattenedFields) : field.flattenedFields ? [field.flattenedFields] : []

function hasLocalized(fields: any[]): boolean {
  return fields.some((f) => f.localized || inner(f).some(hasLocalized))
}

type Text = { text: string; localized: boolean; top: boolean }

// textsOf walks a document along its fields. What is below a localized field is localized.
function textsOf(fields: any[], data: any, localized = false, top = true): Text[] {
  return fields.flatMap((field): Text[] => {
    const value = data?.[field.name]
    if (value == null) return []
    const own = localized || Boolean(field.localized)
    const below = (fields: any[], data: any) => textsOf(fields, data, own, false)
    const text = (text: string): Text[] => (text.trim() ? [{ text, localized: own, top: top && field.type === 'text' }] : [])
    switch (field.type) {
      case 'text':
      case 'textarea':
      case 'code':
        return isForMachines(field.name) || field.virtual ? [] : [value].flat().flatMap(text)
      case 'richText':
        return text(plain(value.root))
      case 'group':
      case 'tab':
        return below(field.flattenedFields, value)
      case 'array':
        return value.flatMap((row) => below(field.flattenedFields, row))
      case 'blocks':
        return value.flatMap((block) => below(field.blocks.find((b) => b.slug === block.blockType).flattenedFields, block))
    }
    return [] // selects, numbers, dates, relations, emails and the like
  })
}

// isForMachines tells what no reader reads, by its name. A block's own name is the editor's label for it.
const isForMachines = (name: string) =>
  name.startsWith('_') || name === 'id' || name === 'blockName' || /(?:[a-z]I[dD]|[sS]lug|u[rR][lL]|U[rR][lL]|[eE]mail|[pP]ath|[fF]ilename|[mM]imeType)$/.test(name)

// titleOf is the value of the first field with a title's name, or else of one whose name ends like that.
function titleOf(fields: any[], doc: any): string {
  const names = fields.filter((f) => f.type === 'text' && !f.hasMany).map((f) => f.name)
  for (const name of ['title', 'name', 'headline', ...names.filter((n) => /(?:Title|Name)$/.test(n))]) {
    const value = names.includes(name) && doc[name]?.trim()
    if (value) return value
  }
  return ''
}

// plain is not Payload's convertLexicalToPlaintext, which glues a quote to the paragraph before it and drops blocks.
function plain(node: any): string {
  if (typeof node?.text === 'string') return node.text
  if (node?.type === 'linebreak') return '\n'
  if (node?.type === 'block' || node?.type === 'inlineBlock') return `\n${loose(node.fields).join('\n')}\n`
  const inner = (node?.children ?? []).map(plain).join('')
  return ['link', 'autolink'].includes(node?.type) ? inner : `\n${inner}\n`
}

// loose is the text of a block inside rich text. Its fields are in the editor's configuration, out of reach: of our own
// blocks, these are not text.
function loose(value: any): string[] {
  if (typeof value === 'string') return [value]
  if (Array.isArray(value)) return value.flatMap(loose)
  if (value?.root) return [plain(value.root)]
  return Object.entries(value ?? {}).flatMap(([name, v]) =>
    ['id', 'blockType', 'blockName', 'tone', 'language'].includes(name) ? [] : loose(v))
}

function strings(value: any, out: string[] = []): string[] {
  if (typeof value === 'string') out.push(value)
  else if (Array.isArray(value)) for (const v of value) strings(v, out)
  else if (value && typeof value === 'object') for (const v of Object.values(value)) strings(v, out)
  return out
}
