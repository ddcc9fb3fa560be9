// Reads with the official clients what cdc wrote, and prints it as one JSON object. NAMESPACE and QUERY say what.
import { Index } from '@upstash/vector'
import OpenAI from 'openai'

const index = new Index().namespace(process.env.NAMESPACE)
const parts = { includeMetadata: true, includeVectors: true, includeData: true }

const listed = []
let cursor = '0'
do {
  const page = await index.range({ cursor, limit: 2, ...parts })
  listed.push(...page.vectors)
  cursor = page.nextCursor
} while (cursor !== '')

const { data } = await new OpenAI().embeddings.create({ model: 'text-embedding-3-small', input: process.env.QUERY })
const found = await index.query({ vector: Array.from(data[0].embedding), topK: 1, includeMetadata: true, includeData: true, filter: "collection = 'posts'" })

console.log(JSON.stringify({ listed, fetched: await index.fetch(listed.map((one) => one.id), { ...parts }), found }))
