// Every way of calling embeddings that openai has, against the server at OPENAI_BASE_URL.
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { get_encoding } from 'tiktoken'
import { check, counts, done, fails, fault } from './check.mjs'

const { equal, deepEqual: same, ok } = assert
const client = new OpenAI()
const model = 'text-embedding-3-small'
const norm = (values) => Math.hypot(...values)
const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0)
const requests = async () => (await counts()).Requests.embeddings ?? 0

await check('a string, as base64 behind the scenes', async () => {
  const res = await client.embeddings.create({ model, input: 'How do I return an order?' })
  equal(res.object, 'list')
  equal(res.model, model)
  equal(res.data.length, 1)
  equal(res.data[0].object, 'embedding')
  equal(res.data[0].index, 0)
  equal(res.data[0].embedding.length, Number(process.env.DIMENSIONS))
  ok(Math.abs(norm(res.data[0].embedding) - 1) < 1e-6)
})

await check('floats are the same numbers', async () => {
  const input = ['one', 'two three', 'vier']
  const a = await client.embeddings.create({ model, input })
  const b = await client.embeddings.create({ model, input, encoding_format: 'float' })
  same(b.data.map((d) => d.index), [0, 1, 2])
  for (const i of [0, 1, 2]) same(Array.from(Float32Array.from(b.data[i].embedding)), Array.from(a.data[i].embedding))
})

await check('dimensions', async () => {
  for (const dimensions of [1, 256, 1536]) {
    const res = await client.embeddings.create({ model, input: 'x y z', dimensions })
    equal(res.data[0].embedding.length, dimensions)
    ok(Math.abs(norm(res.data[0].embedding) - 1) < 1e-6)
  }
  equal((await client.embeddings.create({ model: 'text-embedding-3-large', input: 'x', dimensions: 3072 })).data[0].embedding.length, 3072)
})

await check('texts that share words are near', async () => {
  const { data } = await client.embeddings.create({ model, input: ['returning an order within thirty days', 'how to return an order after thirty days', 'the weather on Mars'] })
  const [a, b, c] = data.map((d) => d.embedding)
  ok(cosine(a, b) > cosine(a, c) + 0.2, `${cosine(a, b)} ${cosine(a, c)}`)
})

await check('tokens are counted as the reference counts them', async () => {
  const encoding = get_encoding('cl100k_base')
  for (const text of ['Hello world', 'naïve café — déjà vu', '日本語のテキスト', 'مرحبا بالعالم', '👩‍👩‍👧 emoji 🇩🇪', '  spaces\t\n\n and \u00a0\ufeff more ', 'x'.repeat(5000), '<|endoftext|> is text', 'a\u0000b', 'ﬁ ½ Ⅷ', '# Title\n\n- item\n```js\nconst a = 1\n```']) {
    const want = encoding.encode(text, [], []).length
    const { usage } = await client.embeddings.create({ model, input: text })
    same(usage, { prompt_tokens: want, total_tokens: want }, text)
  }
  const tokens = Array.from(encoding.encode('tokens are texts too', [], []))
  const [text, one, many] = await Promise.all(['tokens are texts too', tokens, [tokens, tokens]].map((input) => client.embeddings.create({ model, input })))
  same(one.data[0].embedding, text.data[0].embedding)
  same(many.data.map((d) => d.embedding), [text.data[0].embedding, text.data[0].embedding])
  equal(many.usage.prompt_tokens, 2 * tokens.length)
  encoding.free()
})

await check('headers', async () => {
  const { data, response, request_id } = await client.embeddings.create({ model, input: 'x' }).withResponse()
  ok(request_id)
  equal(data._request_id, request_id)
  for (const name of ['x-ratelimit-limit-requests', 'x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens', 'openai-processing-ms']) ok(response.headers.get(name), name)
})

const refuses = (promise, status, type, code, message) => fails(promise, { class: { 400: 'BadRequestError', 401: 'AuthenticationError', 404: 'NotFoundError', 429: 'RateLimitError', 500: 'InternalServerError' }[status], status, type, code, message: `${status} ${message}` })

await check('limits', async () => {
  const bad = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
  for (const input of ['', [], ['a', ''], [[]], [[1], []], {}, 7, [7.5], undefined]) {
    await refuses(client.embeddings.create({ model, input }), 400, 'invalid_request_error', null, bad)
  }
  await refuses(client.embeddings.create({ model, input: Array(2049).fill('x') }), 400, 'invalid_request_error', 'array_above_max_length',
    "Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array with length 2049 instead.")
  equal((await client.embeddings.create({ model, input: Array(2048).fill('x'), dimensions: 2 })).data.length, 2048)
  equal((await client.embeddings.create({ model, input: ' a'.repeat(8192) })).usage.prompt_tokens, 8192)
  await refuses(client.embeddings.create({ model, input: ['ok', ' a'.repeat(8193)] }), 400, 'invalid_request_error', null,
    "This model's maximum context length is 8192 tokens, however you requested 8193 tokens (8193 in your prompt; 0 for the completion). Please reduce your prompt; or completion length.")
  await refuses(client.embeddings.create({ model, input: Array(40).fill(' a'.repeat(8000)) }), 400, 'max_tokens_per_request', 'max_tokens_per_request',
    'Requested 320000 tokens, max 300000 tokens per request')
  for (const dimensions of [0, -1, 1537]) await fails(client.embeddings.create({ model, input: 'x', dimensions }), { class: 'BadRequestError', param: 'dimensions' })
  await fails(client.embeddings.create({ model: 'text-embedding-ada-002', input: 'x', dimensions: 5 }), { class: 'BadRequestError', message: '400 This model does not support specifying dimensions.' })
  await fails(client.embeddings.create({ model, input: 'x', encoding_format: 'hex' }), { class: 'BadRequestError', param: 'encoding_format' })
  await fails(client.embeddings.create({ input: 'x' }), { class: 'BadRequestError' })
})

await check('keys', async () => {
  await refuses(new OpenAI({ apiKey: 'wrong' }).embeddings.create({ model, input: 'x' }), 401, 'invalid_request_error', 'invalid_api_key',
    'Incorrect API key provided: *****. You can find your API key at https://platform.openai.com/account/api-keys.')
})

await check('what is not here says so', async () => {
  await fails(client.models.list(), { class: 'NotFoundError', type: 'invalid_request_error' })
  await fails(client.chat.completions.create({ model: 'gpt', messages: [] }), { class: 'NotFoundError' })
})

await check('faults that the client repeats', async () => {
  for (const rule of [{ Fault: 'RateLimit', Delay: 1e6 }, { Fault: 'ServerError' }, { Fault: 'BadGateway' }, { Fault: 'Cut' }]) {
    const before = await requests()
    await fault('embeddings', { ...rule, Next: 2 })
    equal((await client.embeddings.create({ model, input: 'x' })).data.length, 1)
    equal(await requests(), before + 3, rule.Fault)
  }
})

await check('faults that end it', async () => {
  const quick = new OpenAI({ maxRetries: 0 })
  await fault('embeddings', { Fault: 'Quota', Next: 1 })
  await fails(quick.embeddings.create({ model, input: 'x' }), { class: 'RateLimitError', type: 'insufficient_quota', code: 'insufficient_quota' })
  await fault('embeddings', { Fault: 'RateLimit', Delay: 6e7, Next: 1 })
  const limited = await fails(quick.embeddings.create({ model, input: 'x' }), { class: 'RateLimitError', type: 'tokens', code: 'rate_limit_exceeded' })
  same([limited.headers.get('retry-after'), limited.headers.get('retry-after-ms')], ['1', '60'])
  await fault('embeddings', { Fault: 'ServerError', Next: 1 })
  await refuses(quick.embeddings.create({ model, input: 'x' }), 500, 'server_error', null, 'The server had an error while processing your request. Sorry about that!')
  await fault('embeddings', { Fault: 'BadToken', Next: 1 })
  await fails(quick.embeddings.create({ model, input: 'x' }), { class: 'AuthenticationError', code: 'invalid_api_key' })
  await fault('embeddings', { Fault: 'Cut', Next: 1 })
  await fails(quick.embeddings.create({ model, input: 'x' }), { class: 'APIConnectionError' })
  await fault('embeddings', { Fault: 'CutBody', Next: 1 })
  await assert.rejects(quick.embeddings.create({ model, input: 'x' }))
})

await check('answers that lie', async () => {
  const input = ['one', 'two', 'three']
  const ask = (rule, options) => fault('embeddings', { ...rule, Next: 1 }).then(() => client.embeddings.create({ model, input, ...options })).then((res) => res.data)
  equal((await ask({ Fault: 'ShortData' })).length, 2)
  same((await ask({ Fault: 'WrongIndex' })).map((d) => d.index), [0, 1, 0])
  same((await ask({ Fault: 'OutOfOrder' })).map((d) => d.index), [2, 1, 0])
  ok((await ask({ Fault: 'NotANumber' }))[2].embedding.some(Number.isNaN))
  await assert.rejects(ask({ Fault: 'NotANumber' }, { encoding_format: 'float' }))
  await fault('embeddings', {})
})

done()
