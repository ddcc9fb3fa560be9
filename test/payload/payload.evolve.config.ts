// Variation 3: a small project that changes. STAGE lists, with commas, what has become of it so far.
import { buildConfig, type Field } from 'payload'
import { postgresAdapter } from '@payloadcms/db-postgres'
import { editor } from './src/editor.ts'
import { logger } from './src/logger.ts'

const stage = new Set((process.env.STAGE || '').split(','))
const is = (...what: string[]) => what.some((w) => stage.has(w))
const when = <T>(condition: boolean, value: T): T[] => (condition ? [value] : [])

export default buildConfig({
  secret: process.env.PAYLOAD_SECRET || 'only-for-tests-and-the-demo',
  telemetry: false,
  logger,
  editor,
  localization: is('locales') && { locales: ['en', 'de'], defaultLocale: 'en' },
  collections: [
    { slug: 'users', auth: true, fields: [] },
    {
      slug: 'articles',
      ...(is('drafts') && { versions: { drafts: true } }),
      ...(is('trash') && { trash: true }),
      ...(is('dbname') && { dbName: 'renamed_articles' }),
      fields: [
        { name: is('rename') ? 'headline' : 'title', type: 'text', localized: is('localized') },
        { name: 'content', type: 'richText' },
        ...when<Field>(!is('noremark'), { name: 'remark', type: 'textarea' }),
        { name: 'kind', type: 'select', options: ['a', 'b', ...when(is('enum'), 'c')] },
        ...when<Field>(is('field'), { name: 'summary', type: 'textarea' }),
        { name: 'items', type: 'array', fields: [{ name: 'label', type: 'text' }] },
        ...when<Field>(is('blocks'), { name: 'layout', type: 'blocks', blocks: [{ slug: 'hero', fields: [{ name: 'heading', type: 'text' }] }] }),
      ],
    },
    ...when(is('collection'), { slug: 'extra-things', versions: { drafts: true }, fields: [{ name: 'name', type: 'text' } as Field] }),
  ],
  admin: { user: 'users' },
  typescript: { autoGenerate: false },
  db: postgresAdapter({
    pool: { connectionString: process.env.DATABASE_URI },
    push: process.env.PUSH !== 'false',
    migrationDir: process.env.MIGRATION_DIR,
  }),
})
