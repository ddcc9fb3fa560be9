// Variation 2: uuid ids, blocksAsJSON, schema "cms", localized status
import { buildConfig } from 'payload'
import { postgresAdapter } from '@payloadcms/db-postgres'
import { editor } from './src/editor.ts'
import { logger } from './src/logger.ts'
import * as c from './src/collections.ts'

const withLocalStatus = (col) => ({ ...col, versions: { ...(col.versions as any), drafts: { ...(typeof col.versions.drafts === 'object' ? col.versions.drafts : {}), localizeStatus: true } } })

export default buildConfig({
  secret: process.env.PAYLOAD_SECRET || 'only-for-tests-and-the-demo',
  telemetry: false,
  logger,
  editor,
  localization: { locales: ['en', 'de', 'fr'], defaultLocale: 'en', fallback: true },
  experimental: { localizeStatus: true },
  collections: [c.users, c.categories, c.media, c.posts, withLocalStatus(c.blogPosts), c.events, c.news],
  globals: [withLocalStatus(c.siteSettings), c.footer],
  admin: { user: 'users' },
  typescript: { autoGenerate: false },
  jobs: { tasks: [] },
  db: postgresAdapter({
    pool: { connectionString: process.env.DATABASE_URI },
    push: process.env.PUSH !== 'false',
    idType: 'uuid',
    blocksAsJSON: true,
    schemaName: 'cms',
  }),
})
