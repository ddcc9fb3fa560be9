// Variation 1: serial ids, relational blocks, schema public, localization en/de/fr, plain _status
import { buildConfig } from 'payload'
import { postgresAdapter } from '@payloadcms/db-postgres'
import { editor } from './src/editor.ts'
import { logger } from './src/logger.ts'
import * as c from './src/collections.ts'

export default buildConfig({
  secret: process.env.PAYLOAD_SECRET || 'only-for-tests-and-the-demo',
  telemetry: false,
  logger,
  editor,
  localization: { locales: ['en', 'de', 'fr'], defaultLocale: 'en', fallback: true },
  collections: [c.users, c.categories, c.media, c.posts, c.blogPosts, c.docPages, c.products, c.events, c.notes, c.news, c.numbered],
  globals: [c.siteSettings, c.footer],
  admin: { user: 'users' },
  typescript: { autoGenerate: false },
  jobs: { tasks: [], deleteJobOnComplete: false },
  db: postgresAdapter({
    pool: { connectionString: process.env.DATABASE_URI },
    push: process.env.PUSH !== 'false',
  }),
})
