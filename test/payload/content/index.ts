// The content of the demo: a small magazine with its documentation and calendar, written for this project. A few documents
// stay drafts, one is trashed, so that published is visibly not the same as stored.
import type { Payload } from 'payload'
import { posts } from './posts.ts'
import { docPages } from './docs.ts'
import { events } from './events.ts'
import { blogPosts } from './blog.ts'

export type Piece = {
  collection: string
  data: Record<string, unknown>
  draft?: boolean // never published
  trashed?: boolean
  translations?: Record<string, Record<string, unknown>> // by locale; data itself is in English
}

export const content: Piece[] = [...posts, ...docPages, ...events, ...blogPosts]

// seed creates all of it through Payload and says what became of each piece.
export async function seed(payload: Payload) {
  const seeded = []
  for (const { collection, data, draft, trashed, translations } of content) {
    const _status = draft ? 'draft' : 'published'
    const args: any = { collection, data: { ...data, _status }, draft, depth: 0 }
    const doc: any = await payload.create(args)
    for (const [locale, translation] of Object.entries(translations ?? {})) {
      await payload.update({ collection, id: doc.id, locale, data: { ...translation, _status }, draft, depth: 0 } as any)
    }
    if (trashed) await payload.update({ collection, id: doc.id, data: { deletedAt: new Date().toISOString() }, depth: 0 } as any)
    seeded.push({ collection, id: String(doc.id), title: doc.title, published: !draft && !trashed })
  }
  return seeded
}
