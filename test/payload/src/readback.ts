// What Payload itself says is published: the oracle that an index is compared with. It goes through payload.find alone, so
// it shares nothing with cdc's reading of the tables.
import type { Payload } from 'payload'

export type Entry = {
  collection: string
  id: string
  locale?: string // of a localized collection
  title: string
  content: string // the plain text that must be found in the index
  words: string // every string anywhere in the document: nothing else may be found
}

// readback returns the published, not trashed entries of the collections: one for a document, or one for each of its
// locales that has a text of its own (no fallback).
export async function readback(payload: Payload, collections?: string[]): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const collection of collections ?? withDrafts(payload)) {
    const config = payload.collections[collection].config
    const localized = hasLocalized(config.fields)
    const locales = localized ? codes(payload) : [undefined]
    for (const locale of locales) {
      const { docs } = await payload.find({
        collection, locale, fallbackLocale: false, depth: 0, pagination: false, trash: true, overrideAccess: true,
      } as any)
      for (const doc of docs as any[]) {
        if (('_status' in doc || config.versions?.drafts) && doc._status !== 'published') continue
        if (doc.deletedAt) continue
        const title = String(doc.title ?? doc.name ?? '')
        const content = [doc.content, doc.description].map(text).filter(Boolean).join('\n\n')
        if (!title && !content) continue
        entries.push({ collection, id: String(doc.id), ...(locale && { locale }), title, content, words: strings(doc).join('\n') })
      }
    }
  }
  return entries
}

export const withDrafts = (payload: Payload): string[] =>
  payload.config.collections.filter((c) => (c.versions as any)?.drafts && !c.auth).map((c) => c.slug)

const codes = (payload: Payload): string[] => (payload.config.localization ? payload.config.localization.localeCodes : [])

// hasLocalized walks fields through groups, tabs, arrays and blocks.
function hasLocalized(fields: any[]): boolean {
  return (fields ?? []).some((f) =>
    f.localized || hasLocalized(f.fields) || hasLocalized(f.tabs) || (f.blocks ?? []).some((b) => hasLocalized(b.fields)))
}

function text(value: any): string {
  if (value == null) return ''
  if (typeof value === 'string') return value
  return value.root ? plain(value.root).trim() : ''
}

// plain is not Payload's convertLexicalToPlaintext, which glues a quote to the paragraph before it and drops code.
function plain(node: any): string {
  if (typeof node.text === 'string') return node.text
  if (node.type === 'linebreak') return '\n'
  if (node.type === 'block') return `\n${node.fields?.code ?? ''}\n`
  const inner = (node.children ?? []).map(plain).join('')
  return ['link', 'autolink'].includes(node.type) ? inner : `\n${inner}\n`
}

function strings(value: any, out: string[] = []): string[] {
  if (typeof value === 'string') out.push(value)
  else if (Array.isArray(value)) for (const v of value) strings(v, out)
  else if (value && typeof value === 'object') for (const v of Object.values(value)) strings(v, out)
  return out
}
