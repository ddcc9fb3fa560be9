// Lists of operations that run one after the other, so that something can be looked at after each.
import type { Payload } from 'payload'

export type Step = [name: string, run: () => Promise<unknown>]

// Options are Payload's, and go to every operation that takes them.
export type Options = { disableTransaction?: boolean }

// local is the part of the Local API that takes Options. One document, or all that match.
export function local(payload: Payload, options: Options) {
  const one = (which: any) => (typeof which === 'object' ? { where: which } : { id: which })
  return {
    create: async (collection: string, data: object, more: object = {}): Promise<any> =>
      (await payload.create({ collection, data, ...options, ...more } as any)).id,
    update: (collection: string, which: any, data: object, more: object = {}) =>
      all(payload.update({ collection, ...one(which), data, ...options, ...more } as any)),
    remove: (collection: string, which: any, more: object = {}) =>
      all(payload.delete({ collection, ...one(which), ...options, ...more } as any)),
    duplicate: (collection: string, id: any, more: object = {}) => payload.duplicate({ collection, id, ...options, ...more } as any),
    updateGlobal: (slug: string, data: object, more: object = {}) => payload.updateGlobal({ slug, data, ...options, ...more } as any),
  }
}

// all fails where a bulk operation did only a part: Payload reports the rest and goes on.
async function all(result: Promise<any>): Promise<unknown> {
  const done = await result
  if (done?.errors?.length) throw new Error(done.errors.map((e) => `${e.id}: ${e.message}`).join('; '))
  return done
}

// refused expects Payload to refuse, naming what.
export async function refused(what: string, run: () => Promise<unknown>): Promise<void> {
  const err: any = await run().then(() => undefined, (err) => err)
  const paths = err?.data?.errors?.map((e) => e.path) ?? []
  if (!paths.includes(what)) throw new Error(`want a refusal that names ${what}, got ${err ?? 'none'}`)
}
