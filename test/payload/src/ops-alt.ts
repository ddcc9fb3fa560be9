// What is different in the alternative variation: blocks as JSON, and a status per locale.
import type { Payload } from 'payload'
import * as L from './lex.ts'
import { local, type Options, type Step } from './steps.ts'

export function alt(payload: Payload, options: Options): Step[] {
  const { create, update, remove, updateGlobal } = local(payload, options)
  const s: any = {}
  const blog = (locale: string, data: object, more: object = {}) => update('blog-posts', s.blog, data, { locale, ...more })
  const layout = () => [
    { blockType: 'hero', heading: 'Hero', body: L.doc('hero body'), ctaLinks: [{ label: 'label', audience: ['dev'], keywords: ['keyword'] }] },
    { blockType: 'quoteBlock', quote: 'quoted', relatedCategories: [s.category], mainCategory: s.category },
    { blockType: 'two-columns', columns: [{ width: 'half', content: [{ blockType: 'textBlock', text: L.doc('nested') }] }] },
  ]
  return [
    ['category-create', async () => { s.category = await create('categories', { name: 'One' }) }],
    ['post-create-draft', async () => { s.post = await create('posts', { title: 'Post', content: L.doc('body'), tags: ['a tag'], layout: layout() }, { draft: true }) }],
    ['post-publish', () => update('posts', s.post, { _status: 'published' })],
    ['post-block-reorder', () => update('posts', s.post, { layout: layout().toReversed() })],
    ['post-block-remove', () => update('posts', s.post, { layout: layout().slice(1) })],
    ['category-delete-referenced', () => remove('categories', s.category)],
    ['post-delete', () => remove('posts', s.post)],

    ['blog-create-en-draft', async () => {
      s.blog = await create('blog-posts', { title: 'EN', content: L.doc('en body'), keywords: ['en keyword'], layout: [{ blockType: 'textSection', heading: 'heading en', anchor: 'anchor' }], sections: [{ blockType: 'promo', text: 'EN promo' }] }, { locale: 'en', draft: true })
    }],
    ['blog-de-draft', () => blog('de', { title: 'DE', content: L.doc('de body') }, { draft: true })],
    ['blog-publish-en', () => blog('en', { _status: 'published' })],
    ['blog-publish-de', () => blog('de', { title: 'DE', content: L.doc('de body'), _status: 'published' })],
    ['blog-edit-de-draft', () => blog('de', { title: 'DE draft' }, { draft: true })],
    ['blog-unpublish-de', () => blog('de', { _status: 'draft' })],
    ['blog-publish-all', () => blog('en', {}, { publishAllLocales: true })],
    ['blog-unpublish-all', () => blog('en', {}, { unpublishAllLocales: true })],
    ['blog-publish-de-again', () => blog('de', { _status: 'published' })],
    ['global-publish-en', () => updateGlobal('site-settings', { siteName: 'Site', tagline: 'tag en', _status: 'published' }, { locale: 'en' })],
    ['global-publish-de', () => updateGlobal('site-settings', { tagline: 'tag de', _status: 'published' }, { locale: 'de' })],
    ['global-unpublish-en', () => updateGlobal('site-settings', { _status: 'draft' }, { locale: 'en' })],
    ['blog-delete', () => remove('blog-posts', s.blog)],
  ]
}
