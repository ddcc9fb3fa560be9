// Starts the driver: node -C production main.mjs
//
// esbuild turns our own few files into one module first, in milliseconds; with a TypeScript loader every file of Payload's
// would pass through it, which costs a second. The condition "production" chooses Lexical's plain modules: its "node" ones
// use top-level await, on which node 20 every so often waits for ever while loading (and exits with 13).
import { buildSync } from 'esbuild'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const dir = import.meta.dirname
const { outputFiles } = buildSync({
  absWorkingDir: dir, entryPoints: ['driver.ts'], write: false,
  bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', sourcemap: 'inline',
})
const code = outputFiles[0].contents
// Below node_modules, where its imports are found and nothing is committed. Several may start at once: hence the rename.
const file = path.join(dir, 'node_modules', '.cache', 'driver', createHash('sha256').update(code).digest('hex').slice(0, 16) + '.mjs')
if (!fs.existsSync(file)) {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(`${file}.${process.pid}`, code)
  fs.renameSync(`${file}.${process.pid}`, file)
}
await import(pathToFileURL(file).href)
