import type { CollectionConfig, GlobalConfig } from 'payload'
import path from 'node:path'
import os from 'node:os'
import { hero, quoteBlock, columnsBlock, dbNamedBlock } from './blocks.ts'

const mediaDir = process.env.MEDIA_DIR || path.join(os.tmpdir(), 'payload-cdc-media')

export const users: CollectionConfig = {
  slug: 'users', auth: true, admin: { useAsTitle: 'email' },
  fields: [{ name: 'name', type: 'text' }],
}
export const categories: CollectionConfig = {
  slug: 'categories',
  fields: [{ name: 'name', type: 'text', required: true }, { name: 'summary', type: 'textarea' }],
}
export const media: CollectionConfig = {
  slug: 'media', upload: { staticDir: mediaDir, mimeTypes: ['text/plain', 'image/*'] },
  fields: [{ name: 'alt', type: 'text' }, { name: 'caption', type: 'richText' }],
}
export const posts: CollectionConfig = {
  slug: 'posts',
  admin: { useAsTitle: 'title' },
  versions: { drafts: { autosave: { interval: 500 } }, maxPerDoc: 100 },
  fields: [
    { name: 'title', type: 'text', required: true },
    { name: 'slug', type: 'text', unique: true, index: true },
    { name: 'content', type: 'richText' },
    { name: 'description', type: 'textarea' },
    { name: 'excerpt', type: 'group', fields: [{ name: 'shortText', type: 'text' }, { name: 'longText', type: 'textarea' }] },
    { name: 'layout', type: 'blocks', blocks: [hero, quoteBlock, columnsBlock, dbNamedBlock] },
    { name: 'faqItems', type: 'array', fields: [{ name: 'question', type: 'text' }, { name: 'answer', type: 'richText' }, { name: 'sources', type: 'array', fields: [{ name: 'title', type: 'text' }] }] },
    { name: 'tags', type: 'text', hasMany: true },
    { name: 'scores', type: 'number', hasMany: true },
    { name: 'channels', type: 'select', hasMany: true, options: ['web', 'mail', 'app'] },
    { name: 'tone', type: 'select', options: [{ label: 'Formal', value: 'formal' }, { label: 'Casual', value: 'casual' }] },
    { name: 'audience', type: 'radio', options: ['dev', 'ops'] },
    { name: 'categories', type: 'relationship', relationTo: 'categories', hasMany: true },
    { name: 'primaryCategory', type: 'relationship', relationTo: 'categories' },
    { name: 'related', type: 'relationship', relationTo: ['posts', 'categories'], hasMany: true },
    { name: 'polyOne', type: 'relationship', relationTo: ['posts', 'users'] },
    { name: 'heroImage', type: 'upload', relationTo: 'media' },
    { name: 'gallery', type: 'upload', relationTo: 'media', hasMany: true },
    {
      type: 'tabs', tabs: [
        { name: 'seoMeta', label: 'SEO', fields: [{ name: 'metaTitle', type: 'text' }, { name: 'metaDescription', type: 'textarea' }] },
        { label: 'Unnamed', fields: [{ name: 'sideNote', type: 'text' }] },
      ],
    },
    { name: 'deepGroup', type: 'group', fields: [{ name: 'innerGroup', type: 'group', fields: [{ name: 'noteText', type: 'text' }, { name: 'bullets', type: 'array', fields: [{ name: 'bullet', type: 'text' }] }] }] },
    { type: 'collapsible', label: 'Collapsed', fields: [{ name: 'collapsedText', type: 'text' }] },
    { type: 'row', fields: [{ name: 'rowText', type: 'text' }] },
    { name: 'extraJSON', type: 'json' },
    { name: 'snippet', type: 'code', admin: { language: 'ts' } },
    { name: 'featured', type: 'checkbox', defaultValue: false },
    { name: 'publishedAt', type: 'date' },
    { name: 'contactEmail', type: 'email' },
    { name: 'rating', type: 'number' },
    { name: 'virtualNote', type: 'text', virtual: true },
  ],
}
export const blogPosts: CollectionConfig = {
  slug: 'blog-posts',
  versions: { drafts: true, maxPerDoc: 0 },
  fields: [
    { name: 'title', type: 'text', localized: true, required: true },
    { name: 'content', type: 'richText', localized: true },
    { name: 'internalRef', type: 'text' },
    { name: 'summary', type: 'group', localized: true, fields: [{ name: 'lead', type: 'text' }, { name: 'points', type: 'array', fields: [{ name: 'point', type: 'text' }] }] },
    { name: 'keywords', type: 'text', hasMany: true, localized: true },
    { name: 'labels', type: 'text', hasMany: true },
    { name: 'related', type: 'relationship', relationTo: 'categories', hasMany: true, localized: true },
    { name: 'channels', type: 'select', hasMany: true, localized: true, options: ['web', 'mail'] },
    // not localized blocks field with localized sub-fields
    { name: 'layout', type: 'blocks', blocks: [{ slug: 'textSection', fields: [{ name: 'heading', type: 'text', localized: true }, { name: 'anchor', type: 'text' }, { name: 'rows', type: 'array', fields: [{ name: 'cell', type: 'text', localized: true }] }] }] },
    // localized blocks field
    { name: 'sections', type: 'blocks', localized: true, blocks: [{ slug: 'promo', fields: [{ name: 'text', type: 'text' }, { name: 'keywords', type: 'text', hasMany: true }, { name: 'cats', type: 'relationship', relationTo: 'categories', hasMany: true }, { name: 'items', type: 'array', fields: [{ name: 'item', type: 'text' }] }] }] },
    { name: 'steps', type: 'array', localized: true, fields: [{ name: 'step', type: 'text' }] },
    { name: 'notes', type: 'array', fields: [{ name: 'note', type: 'text', localized: true }] },
  ],
}
export const docPages: CollectionConfig = {
  slug: 'docPages',
  versions: { drafts: true },
  fields: [
    { name: 'title', type: 'text' },
    { name: 'content', type: 'richText' },
    { name: 'bodyHTML', type: 'textarea' },
    { name: 'URLPath', type: 'text' },
    { name: 'camelCASEField2', type: 'text' },
    { name: 'snake_case_field', type: 'text' },
    { name: 'h1Title', type: 'text' },
    { name: '_private', type: 'text' },
  ],
}
export const products: CollectionConfig = {
  slug: 'products', dbName: 'shop_items',
  fields: [
    { name: 'id', type: 'text', required: true },
    { name: 'name', type: 'text' },
    { name: 'description', type: 'textarea' },
    { name: 'variants', type: 'array', fields: [{ name: 'label', type: 'text' }] },
    { name: 'size', type: 'select', dbName: 'sz', options: ['s', 'm', 'l'] },
    { name: 'colors', type: 'select', hasMany: true, enumName: 'product_colour_enum', dbName: 'product_colours', options: ['red', 'blue'] },
    { name: 'features', type: 'blocks', blocks: [quoteBlock] },
  ],
}
export const events: CollectionConfig = {
  slug: 'events', trash: true, versions: { drafts: true },
  fields: [
    { name: 'title', type: 'text' }, { name: 'content', type: 'richText' },
    { name: 'startsAt', type: 'date' },
    { name: 'agenda', type: 'array', fields: [{ name: 'item', type: 'text' }] },
  ],
}
export const notes: CollectionConfig = { // trash without drafts
  slug: 'notes', trash: true, fields: [{ name: 'text', type: 'textarea' }],
}
export const news: CollectionConfig = {
  slug: 'news', versions: { drafts: { schedulePublish: true } },
  fields: [{ name: 'title', type: 'text' }, { name: 'content', type: 'richText' }],
}
export const numbered: CollectionConfig = {
  slug: 'numbered', timestamps: false,
  fields: [{ name: 'id', type: 'number', required: true }, { name: 'text', type: 'text' }],
}
export const siteSettings: GlobalConfig = {
  slug: 'site-settings', versions: { drafts: true },
  fields: [
    { name: 'siteName', type: 'text' }, { name: 'tagline', type: 'text', localized: true },
    { name: 'nav', type: 'array', fields: [{ name: 'label', type: 'text' }] },
    { name: 'about', type: 'richText' },
  ],
}
export const footer: GlobalConfig = { slug: 'footer', fields: [{ name: 'copyright', type: 'text' }] }
