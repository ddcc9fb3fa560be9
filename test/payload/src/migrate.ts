// Payload's migrations, as its own commands write and run them.
import type { Payload } from 'payload'
import { transformSync } from 'esbuild'
import fs from 'node:fs'
import path from 'node:path'

// migrate writes a migration from what was migrated before to what the project is now, and runs it.
export async function migrate(payload: Payload, name: string): Promise<void> {
  const db = payload.db as any
  const home = path.dirname(db.migrationDir)
  // What a migration imports is found from here, and node 20 takes no TypeScript.
  fs.writeFileSync(path.join(home, 'package.json'), '{"type": "module"}')
  if (!fs.existsSync(path.join(home, 'node_modules'))) fs.symlinkSync(path.resolve('node_modules'), path.join(home, 'node_modules'))
  await db.createMigration({ payload, migrationName: name, forceAcceptWarning: true })
  for (const file of fs.readdirSync(db.migrationDir).filter((f) => f.endsWith('.ts'))) {
    const at = path.join(db.migrationDir, file)
    fs.writeFileSync(at.replace(/ts$/, 'js'), transformSync(fs.readFileSync(at, 'utf8'), { loader: 'ts', format: 'esm' }).code)
    fs.rmSync(at)
  }
  await db.migrate()
}

// fresh drops everything and runs all migrations again.
export const fresh = (payload: Payload): Promise<void> => (payload.db as any).migrateFresh({ forceAcceptWarning: true })
