// A long-lived Payload, driven over stdin and stdout: one JSON object a line, {id, op, args} in, {id, result, ms} or
// {id, error, ms} out, in the order of completion. Commands run side by side. The first line out, without an id, says that
// Payload has booted. It ends when stdin closes.
import readline from 'node:readline'
import type { Step } from './src/steps.ts'

// Only protocol lines may reach stdout: whatever else is written there (drizzle's spinner, console.log) becomes log.
const write = process.stdout.write.bind(process.stdout)
process.stdout.write = process.stderr.write.bind(process.stderr) as any
const say = (line: object) => write(JSON.stringify(line) + '\n')

const started = performance.now()
const { boot } = await import('./src/boot.ts')
const { readback, withDrafts } = await import('./src/readback.ts')
const { main } = await import('./src/ops-main.ts')
const { alt } = await import('./src/ops-alt.ts')
const payload = await boot()
let steps: Step[] = []

// Payload's Local API, its arguments passed through untouched but for ids (as text) and files (data in base64).
const local = [
  'create', 'update', 'delete', 'duplicate', 'find', 'findByID', 'count', 'findVersions', 'restoreVersion',
  'findGlobal', 'updateGlobal', 'findGlobalVersions', 'restoreGlobalVersion',
]
// Adapter calls under the Local API, as plugins and hooks make them: no version, no hooks, no transaction of their own.
const adapter = ['db.updateOne', 'db.deleteOne', 'db.create']

const ops: Record<string, (args: any) => Promise<unknown>> = {
  readback: ({ slugs }) => readback(payload, slugs),
  content: async () => (await import('./content/index.ts')).content,
  seed: async () => (await import('./content/index.ts')).seed(payload),
  // The names of a list of operations, and one of them after the other: each is done once, in order.
  steps: async ({ list, ...options }) => {
    steps = { main, alt }[list](payload, options)
    return steps.map(([name]) => name)
  },
  step: async () => {
    const [name, run] = steps.shift()
    await run().catch((err) => { err.message = `${name}: ${err.message}`; throw err })
  },
  migrate: async ({ name, fresh }) => {
    const migrations = await import('./src/migrate.ts')
    await (fresh ? migrations.fresh(payload) : migrations.migrate(payload, name))
  },
  // Several commands in one transaction: {steps: [{op, args}, …], rollback}.
  transaction: async ({ steps, rollback }) => {
    const transactionID = (await payload.db.beginTransaction()) as string
    const results: unknown[] = []
    try {
      for (const step of steps) results.push(await ops[step.op]({ ...step.args, req: { transactionID, payload } }))
    } catch (err) {
      await payload.db.rollbackTransaction(transactionID)
      throw err
    }
    await (rollback ? payload.db.rollbackTransaction(transactionID) : payload.db.commitTransaction(transactionID))
    return results
  },
}
for (const name of local) ops[name] = async (args) => brief(name, await payload[name](prepare(args)))
for (const name of adapter) ops[name] = async (args) => brief(name, await payload.db[name.slice('db.'.length)](prepare(args)))

function prepare(args: any): any {
  const a = { depth: 0, ...args }
  // A version's id is a number or text as the database has it; a document's may be custom.
  if (a.id != null && a.collection) {
    const type = (payload.collections[a.collection] as any)?.customIDType ?? payload.db.defaultIDType
    a.id = type === 'number' ? Number(a.id) : String(a.id)
  }
  if (a.file?.data) a.file = { ...a.file, data: Buffer.from(a.file.data, 'base64') }
  return a
}

// brief keeps the answers of writes short: a bulk publish of 500 documents need not send them all back.
function brief(op: string, result: any): unknown {
  if (result == null || op.startsWith('find') || op === 'count') return result
  const one = (d: any) => ({ id: d.id, _status: d._status, updatedAt: d.updatedAt, deletedAt: d.deletedAt })
  return Array.isArray(result.docs) ? { docs: result.docs.map(one), errors: result.errors ?? [] } : one(result)
}

const running = new Set<Promise<void>>()
async function run(line: string): Promise<void> {
  const begun = performance.now()
  let id: unknown
  let answer: object
  try {
    const command = JSON.parse(line)
    id = command.id
    if (!ops[command.op]) throw new Error(`no command "${command.op}"`)
    answer = { result: (await ops[command.op](command.args ?? {})) ?? null }
  } catch (err: any) {
    const details = err?.data?.errors?.map((e: any) => `${e.path}: ${e.message}`).join('; ')
    answer = { error: [err?.message ?? String(err), details].filter(Boolean).join(': ') }
  }
  say({ id, ...answer, ms: performance.now() - begun })
}

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
lines.on('line', (line) => {
  const p = run(line)
  running.add(p)
  void p.finally(() => running.delete(p))
})
lines.on('close', async () => {
  await Promise.allSettled(running)
  await payload.destroy()
  process.exit(0)
})
say({ ready: true, ms: performance.now() - started, collections: withDrafts(payload) })
