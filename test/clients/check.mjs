// Runs named checks one after the other and prints one line of JSON for each; the Go test makes a subtest of every line.
import assert from 'node:assert/strict'

let count = 0

export async function check(name, run) {
  let error
  try {
    await run()
  } catch (err) {
    error = err?.stack ?? String(err)
  }
  count++
  console.log(JSON.stringify({ name, error }))
}

export function done() {
  console.log(JSON.stringify({ done: count }))
}

// fails expects a rejection whose fields are at least these.
export async function fails(promise, want) {
  let err
  try {
    const got = await promise
    err = new Error(`succeeded with ${JSON.stringify(got)?.slice(0, 500)}`)
  } catch (caught) {
    const got = {}
    for (const key of Object.keys(want)) got[key] = key === 'class' ? caught.constructor.name : caught[key]
    assert.deepEqual(got, want)
    return caught
  }
  throw err
}

// fault makes the next requests of a protocol ("vector" or "embeddings") go wrong; {} lets all pass again.
export async function fault(protocol, rule) {
  const res = await fetch(`${process.env.CONTROL_URL}/${protocol}`, { method: 'POST', body: JSON.stringify(rule) })
  assert.equal(res.status, 200, await res.text())
}

export async function counts() {
  return (await fetch(`${process.env.CONTROL_URL}/counts`)).json()
}
