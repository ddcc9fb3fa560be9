// Boots Payload's Local API. No Next.js server is involved.
import { getPayload, type Payload } from 'payload'

// VARIATION chooses the project: "main" has serial ids and relational blocks in schema public, "alt" has uuid ids, blocks as
// JSON, a status per locale, and schema cms. The schema is pushed unless PUSH=false; push it once, on an empty database,
// for drizzle asks questions on stdin when it finds tables that it does not know.
export async function boot(variation = process.env.VARIATION || 'main'): Promise<Payload> {
  if (!process.env.DATABASE_URI) throw new Error('set DATABASE_URI')
  const projects = {
    main: () => import('../payload.config.ts'),
    alt: () => import('../payload.alt.config.ts'),
  }
  const project = projects[variation]
  if (!project) throw new Error(`no variation "${variation}": use ${Object.keys(projects).join(' or ')}`)
  return getPayload({ config: (await project()).default, cron: false })
}
