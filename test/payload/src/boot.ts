// Boots Payload's Local API. No Next.js server is involved.
import { getPayload, type Payload } from 'payload'

// VARIATION chooses the project: "main" has serial ids and relational blocks in schema public, "alt" has uuid ids, blocks as
// JSON, a status per locale, and schema cms, "evolve" is small and changes with STAGE. The schema is pushed unless PUSH=false.
// On a database that is not empty drizzle may ask on stdin what has become of tables and columns that it misses.
export async function boot(variation = process.env.VARIATION || 'main'): Promise<Payload> {
  if (!process.env.DATABASE_URI) throw new Error('set DATABASE_URI')
  const projects = {
    main: () => import('../payload.config.ts'),
    alt: () => import('../payload.alt.config.ts'),
    evolve: () => import('../payload.evolve.config.ts'),
  }
  const project = projects[variation]
  if (!project) throw new Error(`no variation "${variation}": use ${Object.keys(projects).join(' or ')}`)
  return getPayload({ config: (await project()).default, cron: false })
}
