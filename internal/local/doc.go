// Package local serves two vendors' protocols on loopback: Upstash Vector (REST) and OpenAI embeddings, over a Store
// and a Model of its own, so that a project's unmodified clients work with no account and no network. The same servers
// are the tests' peer, and can be told to fail the way networks do: by refusing, by cutting the connection, and by
// lying about whether a write was applied.
//
// The one invariant: whatever the client was told, a write is applied whole or not at all, and Vectors shows which.
//
// Behaviour follows the vendors' documentation, their clients' own test suites and answers captured from the services.
// Where none of these says what happens, the choice is marked "our guess" beside the code. Not covered: sparse and
// hybrid indexes, and indexes that embed by themselves; they are answered as a dense index answers.
package local
