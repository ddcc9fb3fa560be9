// Every call that @upstash/vector has, against the server at UPSTASH_VECTOR_REST_URL: 4 dimensions, cosine, empty.
import assert from 'node:assert/strict'
import { Index, FusionAlgorithm, QueryMode, WeightingStrategy } from '@upstash/vector'
import { check, counts, done, fails, fault } from './check.mjs'

const { equal, deepEqual: same, ok } = assert
const url = process.env.UPSTASH_VECTOR_REST_URL
const index = Index.fromEnv()
const v = (...numbers) => numbers
const byId = (list) => list.map((one) => one?.id ?? null)
const fresh = async () => {
  for (const ns of await index.listNamespaces()) if (ns) await index.deleteNamespace(ns)
  await index.reset({ all: true })
}

await check('info of an empty index', async () => {
  same(await index.info(), {
    vectorCount: 0, pendingVectorCount: 0, indexSize: 0, dimension: 4, similarityFunction: 'COSINE', indexType: 'DENSE',
    denseIndex: { dimension: 4, similarityFunction: 'COSINE', embeddingModel: '' },
    namespaces: { '': { vectorCount: 0, pendingVectorCount: 0 } },
  })
})

await check('upsert one, fetch it with and without its parts', async () => {
  equal(await index.upsert({ id: 'a', vector: v(0.1, 0.2, 0.3, 0.4), metadata: { title: '<&> "ü"\u2028', n: 1.5, deep: { list: [1, null, 'x'] } }, data: 'text' }), 'Success')
  same(await index.fetch(['a']), [{ id: 'a' }])
  same(await index.fetch(['a'], { includeMetadata: true, includeVectors: true, includeData: true }),
    [{ id: 'a', vector: [0.1, 0.2, 0.3, 0.4], metadata: { title: '<&> "ü"\u2028', n: 1.5, deep: { list: [1, null, 'x'] } }, data: 'text' }])
})

await check('upsert many; the last of equal ids wins', async () => {
  equal(await index.upsert([
    { id: 'b', vector: v(1, 0, 0, 0) }, { id: 'c', vector: v(0, 1, 0, 0), metadata: { k: 'old' } }, { id: 'c', vector: v(0, 0, 1, 0) },
  ]), 'Success')
  same(await index.fetch(['c', 'nothing', 'b'], { includeMetadata: true, includeVectors: true }),
    [{ id: 'c', vector: [0, 0, 1, 0] }, null, { id: 'b', vector: [1, 0, 0, 0] }])
})

await check('an upsert drops what it does not name', async () => {
  await index.upsert({ id: 'a', vector: v(0.1, 0.2, 0.3, 0.4) })
  same(await index.fetch(['a'], { includeMetadata: true, includeData: true }), [{ id: 'a' }])
})

await check('numbers are ids', async () => {
  await index.upsert({ id: 33, vector: v(0, 0, 0, 1), metadata: { a: 1 } })
  same(await index.fetch([33]), [{ id: '33' }])
  same(await index.update({ id: 33, metadata: { a: 2 } }), { updated: 1 })
  same(await index.fetch(['33'], { includeMetadata: true }), [{ id: '33', metadata: { a: 2 } }])
  same(await index.delete(33), { deleted: 1 })
})

await check('update: overwrite, patch, vector, data, unknown', async () => {
  await index.upsert({ id: 'u', vector: v(1, 1, 0, 0), metadata: { a: 1, b: { c: 2, d: 3 } }, data: 'old' })
  same(await index.update({ id: 'u', metadata: { b: { c: null, e: 4 }, f: 5 }, metadataUpdateMode: 'PATCH' }), { updated: 1 })
  same(await index.fetch(['u'], { includeMetadata: true, includeData: true }), [{ id: 'u', metadata: { a: 1, b: { d: 3, e: 4 }, f: 5 }, data: 'old' }])
  same(await index.update({ id: 'u', metadata: { only: true } }), { updated: 1 })
  same(await index.update({ id: 'u', vector: v(0, 1, 1, 0) }), { updated: 1 })
  same(await index.update({ id: 'u', data: 'new' }), { updated: 1 })
  same(await index.fetch(['u'], { includeMetadata: true, includeVectors: true, includeData: true }), [{ id: 'u', vector: [0, 1, 1, 0], metadata: { only: true }, data: 'new' }])
  same(await index.update({ id: 'nobody', metadata: {} }), { updated: 0 })
})

await check('delete: one, many, prefix, filter, and again', async () => {
  await fresh()
  await index.upsert(['p-1', 'p-10', 'p-2', 'q-1', 'q-2', 'r'].map((id, i) => ({ id, vector: v(1, i, 0, 0), metadata: { i } })))
  same(await index.delete('r'), { deleted: 1 })
  same(await index.delete('r'), { deleted: 0 })
  same(await index.delete(['q-1', 'r']), { deleted: 1 })
  same(await index.delete({ ids: ['q-1'] }), { deleted: 0 })
  same(await index.delete({ prefix: 'p-1' }), { deleted: 2 })
  same(await index.delete({ filter: 'i >= 4' }), { deleted: 1 })
  same(byId((await index.range({ cursor: 0, limit: 10 })).vectors), ['p-2'])
})

await check('fetch by prefix', async () => {
  same(await index.fetch({ prefix: 'p-' }, { includeMetadata: true }), [{ id: 'p-2', metadata: { i: 2 } }])
  same(await index.fetch({ prefix: 'zz' }), [])
})

await check('range: in insertion order, from any kind of beginning, to the exact end', async () => {
  await fresh()
  await index.upsert(Array.from({ length: 20 }, (_, i) => ({ id: `id-${i}`, vector: v(1, i, 0, 0), metadata: { i }, data: `d${i}` })))
  for (const begin of ['0', '', 0]) {
    const page = await index.range({ cursor: begin, limit: 5 })
    same(page, { nextCursor: '5', vectors: [0, 1, 2, 3, 4].map((i) => ({ id: `id-${i}` })) })
  }
  const all = []
  let cursor = ''
  do {
    const page = await index.range({ cursor, limit: 4, includeMetadata: true, includeVectors: true, includeData: true })
    equal(page.vectors.length, 4)
    all.push(...page.vectors)
    cursor = page.nextCursor
  } while (cursor !== '')
  same(all, Array.from({ length: 20 }, (_, i) => ({ id: `id-${i}`, vector: [1, i, 0, 0], metadata: { i }, data: `d${i}` })))
  same(byId((await index.range({ cursor: '', limit: 100, prefix: 'id-1' })).vectors), ['id-1', ...Array.from({ length: 10 }, (_, i) => `id-1${i}`)])
})

await check('query: nearest first, scores from 0 to 1', async () => {
  await fresh()
  await index.upsert([
    { id: 'east', vector: v(1, 0, 0, 0), metadata: { k: 'e' }, data: 'E' }, { id: 'north', vector: v(0, 1, 0, 0) },
    { id: 'west', vector: v(-1, 0, 0, 0) }, { id: 'northeast', vector: v(3, 4, 0, 0) },
  ])
  const all = await index.query({ vector: v(2, 0, 0, 0), topK: 10 })
  same(all, [{ id: 'east', score: 1 }, { id: 'northeast', score: 0.8 }, { id: 'north', score: 0.5 }, { id: 'west', score: 0 }])
  same(await index.query({ vector: v(1, 0, 0, 0), topK: 1, includeMetadata: true, includeVectors: true, includeData: true }),
    [{ id: 'east', score: 1, vector: [1, 0, 0, 0], metadata: { k: 'e' }, data: 'E' }])
  equal((await index.query({ vector: v(1, 0, 0, 0), topK: 10, weightingStrategy: WeightingStrategy.IDF, fusionAlgorithm: FusionAlgorithm.RRF, queryMode: QueryMode.DENSE })).length, 4)
})

await check('queryMany: of two, of one, of none found', async () => {
  const east = { vector: v(1, 0, 0, 0), topK: 1 }
  const north = { vector: v(0, 1, 0, 0), topK: 1 }
  same(await index.queryMany([east, north]), [[{ id: 'east', score: 1 }], [{ id: 'north', score: 1 }]])
  same(await index.queryMany([east]), [[{ id: 'east', score: 1 }]])
  same(await index.queryMany([{ ...east, filter: "k = 'x'" }, { ...north, filter: "k = 'x'" }]), [[], []])
})

await check('filters', async () => {
  await fresh()
  const planets = [
    { id: 'turtle', metadata: { type: 'turtle', age: 27, tags: ['slow', 'old'], geo: { pos: [{ lat: 1 }, { lat: 2 }] }, live: true, title: 'Ab-1' } },
    { id: 'cat', metadata: { type: 'cat', age: 3, tags: [], live: false, title: 'ab_2' } },
    { id: 'dog', metadata: { type: "do'g", age: -1.5, title: 'zz' } },
    { id: 'bare' },
  ]
  await index.upsert(planets.map((p) => ({ ...p, vector: v(1, 0, 0, 0) })))
  for (const [filter, want] of [
    ["type = 'turtle'", ['turtle']], ['type = "cat"', ['cat']], ["type != 'cat'", ['turtle', 'dog']], ["type = 'do''g'", ['dog']], ["type = 'do\\'g'", ['dog']],
    ['age >= 3', ['turtle', 'cat']], ['age < 3', ['dog']], ['age <= -1.5', ['dog']], ['age > 2.7e1', []], ['age = 27', ['turtle']],
    ["age >= 3 AND type = 'cat' OR type = 'turtle'", ['turtle', 'cat']], ["age >= 3 and (type = 'cat' or type = 'x')", ['cat']],
    ["type IN ('cat', 'turtle')", ['turtle', 'cat']], ["type NOT IN ('cat', 'turtle')", ['dog']], ['age in (3, 4)', ['cat']],
    ["tags CONTAINS 'old'", ['turtle']], ["tags NOT CONTAINS 'old'", ['cat']], ['HAS FIELD geo', ['turtle']], ['HAS NOT FIELD live', ['dog', 'bare']],
    ['geo.pos[0].lat = 1', ['turtle']], ['geo.pos[#-1].lat = 2', ['turtle']], ['geo.pos[7].lat = 2', []],
    ['live = true', ['turtle']], ['live = 0', ['cat']], ['live = FALSE', ['cat']], ['live != 1', ['cat']],
    ["title GLOB 'A*'", ['turtle']], ["title GLOB '?b[_-][0-9]'", ['turtle', 'cat']], ["title GLOB '[^z]*'", ['turtle', 'cat']], ["title NOT GLOB '*-*'", ['cat', 'dog']],
    ['', ['turtle', 'cat', 'dog', 'bare']],
  ]) {
    same(byId(await index.query({ vector: v(1, 0, 0, 0), topK: 10, filter })), want, filter)
  }
  for (const filter of ["type = ", "= 'x'", "type LIKE 'x'", "type = 'x", '(age > 1', "age > 'x'", 'age ! 1', 'a..b = 1', 'a[x] = 1', 'NOT (age = 1)', 'type IN ()', '$ = 1']) {
    const err = await fails(index.query({ vector: v(1, 0, 0, 0), topK: 10, filter }), { name: 'UpstashError' })
    ok(err.message.startsWith('Invalid filter'), `${filter}: ${err.message}`)
  }
})

await check('resumable queries', async () => {
  await fresh()
  await index.upsert(Array.from({ length: 10 }, (_, i) => ({ id: `id-${i}`, vector: v(1, i, 0, 0), metadata: { i } })))
  const { result, fetchNext, stop } = await index.resumableQuery({ vector: v(1, 0, 0, 0), topK: 2, maxIdle: 3600, includeMetadata: true })
  same(result.map((one) => [one.id, one.metadata.i]), [['id-0', 0], ['id-1', 1]])
  same(byId(await fetchNext(3)), ['id-2', 'id-3', 'id-4'])
  same(byId(await fetchNext(100)), ['id-5', 'id-6', 'id-7', 'id-8', 'id-9'])
  same(await fetchNext(1), [])
  equal(await stop(), 'Success')
  await assert.rejects(async () => fetchNext(1))
  const gone = await fetch(`${url}/resumable-query-next`, {
    method: 'POST', headers: { Authorization: `Bearer ${process.env.UPSTASH_VECTOR_REST_TOKEN}` }, body: '{"uuid":"gone","additionalK":1}',
  })
  equal(gone.status, 404)
  const two = await index.resumableQuery({ vector: v(1, 0, 0, 0), topK: 1, maxIdle: 60, filter: 'i > 7' })
  same(byId([...two.result, ...(await two.fetchNext(10))]), ['id-8', 'id-9'])
  await two.stop()
  await fails(index.resumableQuery({ data: 'text', topK: 1, maxIdle: 60 }), { message: 'Embedding data for this index is not allowed. The index must be created with an embedding model to use it.' })
})

await check('namespaces', async () => {
  await fresh()
  const ns = index.namespace('ns')
  equal(await ns.upsert({ id: 'n', vector: v(1, 0, 0, 0), metadata: { a: 1 } }), 'Success')
  await index.upsert({ id: 'o', vector: v(0, 1, 0, 0) }, { namespace: 'other' })
  same((await index.listNamespaces()).sort(), ['', 'ns', 'other'])
  same(await ns.fetch(['n', 'o'], { includeMetadata: true }), [{ id: 'n', metadata: { a: 1 } }, null])
  same(await index.fetch(['o'], { namespace: 'other' }), [{ id: 'o' }])
  same(await ns.update({ id: 'n', metadata: { a: 2 } }), { updated: 1 })
  same(byId(await ns.query({ vector: v(1, 0, 0, 0), topK: 5 })), ['n'])
  same(await index.queryMany([{ vector: v(1, 0, 0, 0), topK: 5 }, { vector: v(1, 0, 0, 0), topK: 5 }], { namespace: 'ns' }), [[{ id: 'n', score: 1 }], [{ id: 'n', score: 1 }]])
  same(byId((await ns.range({ cursor: 0, limit: 5 })).vectors), ['n'])
  const q = await ns.resumableQuery({ vector: v(1, 0, 0, 0), topK: 5, maxIdle: 60 })
  same(byId(q.result), ['n'])
  await q.stop()
  same(await ns.delete('n'), { deleted: 1 })
  same((await index.info()).namespaces, { '': { vectorCount: 0, pendingVectorCount: 0 }, ns: { vectorCount: 0, pendingVectorCount: 0 }, other: { vectorCount: 1, pendingVectorCount: 0 } })
  equal(await index.namespace('other').reset(), 'Success')
  same((await index.listNamespaces()).sort(), ['', 'ns', 'other'])
  equal(await index.deleteNamespace('other'), 'Success')
  same((await index.listNamespaces()).sort(), ['', 'ns'])
  await fails(index.deleteNamespace('other'), { name: 'UpstashError', message: 'Namespace other for the index local does not exist' })
  same(await index.namespace('never').fetch(['x']), [null])
  same(await index.namespace('never').query({ vector: v(1, 0, 0, 0), topK: 5 }), [])
})

await check('reset: one namespace, all', async () => {
  const put = () => Promise.all([index.upsert({ id: 'd', vector: v(1, 0, 0, 0) }), index.namespace('ns').upsert({ id: 'n', vector: v(1, 0, 0, 0) })])
  await put()
  equal(await index.reset(), 'Success')
  same([await index.fetch(['d']), await index.namespace('ns').fetch(['n'])], [[null], [{ id: 'n' }]])
  equal(await index.reset({ namespace: 'ns' }), 'Success')
  same(await index.namespace('ns').fetch(['n']), [null])
  await put()
  equal(await index.reset({ all: true }), 'Success')
  equal((await index.info()).vectorCount, 0)
})

await check('float32 values come back as they went', async () => {
  const values = [1e-7, 0.3333333, -1.5e-38, 16777216]
  await index.upsert({ id: 'f', vector: values })
  same((await index.fetch(['f'], { includeVectors: true }))[0].vector, values)
})

await check('refusals', async () => {
  const refuses = (promise, message) => fails(promise, { name: 'UpstashError', message })
  await refuses(index.upsert({ id: 'x', vector: v(1, 2) }), 'Invalid vector dimension: 2, expected: 4')
  await refuses(index.query({ vector: v(1, 2), topK: 1 }), 'Invalid vector dimension: 2, expected: 4')
  await refuses(index.update({ id: 'x', vector: v(1, 2) }), 'Invalid vector dimension: 2, expected: 4')
  const noText = 'Embedding data for this index is not allowed. The index must be created with an embedding model to use it.'
  await refuses(index.upsert({ id: 'x', data: 'text' }), noText)
  await refuses(index.query({ data: 'text', topK: 1 }), noText)
  await refuses(index.queryMany([{ data: 'text', topK: 1 }]), noText)
  await refuses(index.upsert({ id: 'x', sparseVector: { indices: [1], values: [1] } }), 'This index requires dense vectors')
  await refuses(index.query({ sparseVector: { indices: [1], values: [1] }, topK: 1 }), 'This index requires dense vectors')
  await refuses(index.delete({ ids: ['x'], prefix: 'x' }), 'Only and only one of the ids, prefix, or filter must be provided.')
  await refuses(index.delete({}), 'Only and only one of the ids, prefix, or filter must be provided.')
  await refuses(index.fetch({ ids: ['x'], prefix: 'x' }), 'Only one of ids or prefix must be provided.')
  for (const bad of [NaN, Infinity, 'x']) {
    const err = await fails(index.upsert({ id: 'x', vector: v(1, 2, 3, bad) }), { name: 'UpstashError' })
    ok(/^Missing or wrong input at \[Source: \(ByteArrayInputStream\); line: 1, column: \d+\]$/.test(err.message), err.message)
  }
  await assert.rejects(index.upsert(Array.from({ length: 1001 }, (_, i) => ({ id: i, vector: v(1, 0, 0, 0) }))), { name: 'UpstashError' })
  equal((await index.fetch(['x']))[0], null)
})

await check('tokens', async () => {
  await fails(new Index({ url, token: 'wrong' }).info(), { name: 'UpstashError', message: 'Unauthorized: Invalid auth token' })
  const reader = new Index({ url, token: process.env.READ_ONLY_TOKEN })
  same(await reader.fetch(['f']), [{ id: 'f' }])
  for (const write of [() => reader.upsert({ id: 'x', vector: v(1, 0, 0, 0) }), () => reader.delete('f'), () => reader.reset(), () => reader.update({ id: 'f', data: 'x' })]) {
    await fails(write(), { name: 'UpstashError', message: 'Forbidden: this token is read-only' })
  }
  same(await index.fetch(['f']), [{ id: 'f' }])
})

await check('faults look to the client as the real ones do', async () => {
  const one = () => index.upsert({ id: 'once', vector: v(1, 0, 0, 0) })
  const sent = async () => (await counts()).Requests.upsert
  await fault('vector', { Fault: 'Quota', Next: 1 })
  await fails(one(), { name: 'UpstashError', message: 'Exceeded daily write limit: 10000' })
  await fault('vector', { Fault: 'ServerError', Next: 1 })
  await fails(one(), { name: 'UpstashError' })
  await fault('vector', { Fault: 'BadGateway', Next: 1 })
  await fails(one(), { name: 'SyntaxError' })
  await fault('vector', { Fault: 'RateLimit', Next: 1 })
  const before = await sent()
  await fails(one(), { name: 'UpstashError' })
  equal(await sent(), before + 1, 'this client repeats no status')
  same(await index.fetch(['once']), [null])
  for (const cut of ['Cut', 'AppliedThenCut']) {
    await fault('vector', { Fault: cut, Next: 2 })
    const n = await sent()
    equal(await one(), 'Success')
    equal(await sent(), n + 3, 'this client repeats what was cut')
  }
  await fault('vector', { Fault: 'CutBody', Next: 1 })
  await assert.rejects(one())
  await fault('vector', {})
})

await check('documented verbs and odd bodies', async () => {
  const raw = async (method, path, body) => {
    const res = await fetch(url + path, { method, body, headers: { Authorization: `Bearer ${process.env.UPSTASH_VECTOR_REST_TOKEN}` } })
    ok(res.headers.get('content-type').startsWith('application/json'), path)
    return { status: res.status, ...(await res.json()) }
  }
  await fresh()
  await index.upsert(['a', 'b', 'c', '7'].map((id) => ({ id, vector: v(1, 0, 0, 0) })))
  equal((await raw('GET', '/info')).result.vectorCount, 4)
  equal((await raw('POST', '/info', 'null')).result.vectorCount, 4)
  same(await raw('POST', '/delete', '["a"]'), { status: 200, result: { deleted: 1 } })
  same(await raw('POST', '/delete', 'b'), { status: 200, result: { deleted: 1 } })
  same(await raw('POST', '/delete', '"c"'), { status: 200, result: { deleted: 1 } })
  same(await raw('DELETE', '/delete', '{"ids":[7]}'), { status: 200, result: { deleted: 1 } })
  same(await raw('GET', '/random'), { status: 200, result: null })
  same(await raw('POST', '/query', JSON.stringify([{ vector: v(1, 0, 0, 0) }])), { status: 200, result: [] })
  same(await raw('DELETE', '/reset?all'), { status: 200, result: 'Success' })
  same(await raw('POST', '/upsert', '{"id":"py","vector":[1,0,0,0],"sparseVector":null,"metadata":null,"data":null}'), { status: 200, result: 'Success' })
  same((await raw('GET', '/random')).result, { id: 'py', vector: [1, 0, 0, 0] })
  await index.namespace('from').upsert({ id: 'x', vector: v(1, 0, 0, 0) })
  same(await raw('POST', '/rename-namespace', '{"namespace":"from","newNamespace":"to"}'), { status: 200, result: { renamed: true } })
  same(await index.namespace('to').fetch(['x']), [{ id: 'x' }])
  same(await raw('POST', '/rename-namespace', '{"namespace":"from","newNamespace":"to"}'), { status: 404, error: 'Namespace from for the index local does not exist' })
  equal((await raw('POST', '/nothing')).status, 404)
  equal((await raw('POST', '/info/ns')).status, 404)
  equal((await raw('PATCH', '/info')).status, 405)
  equal((await raw('DELETE', '/upsert', '{}')).status, 405)
  for (const body of ['', '{', '[', '{"vectors":[]}', '[null]', '7', '{"id":"x","vector":{"a":1}}', '{"id":null,"vector":[1,0,0,0]}', '{"id":"x","vector":[1,0,0,0],"metadata":[]}', '{"id":"x","vector":[1,0,0,0],}']) {
    const got = await raw('POST', '/upsert', body)
    ok(got.status === 400 || got.status === 422, `${body}: ${JSON.stringify(got)}`)
  }
})

done()
