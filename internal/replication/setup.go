package replication

import (
	"slices"
	"strings"
)

// Setup is what an administrator prepares for a role that cannot do it itself.
type Setup struct {
	Role        string // that cdc connects as
	Database    string
	Publication string
	Published   []Table // already in the publication; nil when it does not exist
	Tables      []Table // to be published
	Read        []Table // to be read back besides Tables
	State       string  // SQL that makes room for the state; empty leaves it out (the state lives elsewhere)
	WALLevel    string  // as it is; empty when unknown
}

// SetupSQL is exactly what an administrator has to run, once, in the database itself. It can be run again.
func SetupSQL(s Setup) string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteByte('\n')
	}
	role := quoteName(s.Role)
	line("-- Run this in database ", comment(s.Database), " as an administrator.")
	if s.WALLevel != "" && s.WALLevel != "logical" {
		line("-- wal_level is ", comment(s.WALLevel), ". This takes effect when Postgres is restarted:")
		line("ALTER SYSTEM SET wal_level = 'logical';")
	}
	line()
	line("-- The role may read the log. Give it a password: \\password ", comment(role))
	tag := "$setup$"
	for strings.Contains(role, tag) {
		tag = "$" + tag[1:len(tag)-1] + "_$"
	}
	line("DO ", tag, " BEGIN CREATE ROLE ", role, " LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END ", tag, ";")
	line("ALTER ROLE ", role, " REPLICATION;")
	line()
	line("-- It reads published documents back.")
	line("GRANT CONNECT ON DATABASE ", quoteName(s.Database), " TO ", role, ";")
	seen := map[string]bool{}
	for _, t := range append(append([]Table{}, s.Tables...), s.Read...) {
		if !seen["schema "+t.Schema] {
			seen["schema "+t.Schema] = true
			line("GRANT USAGE ON SCHEMA ", quoteName(t.Schema), " TO ", role, ";")
		}
		if !seen[t.quoted()] {
			seen[t.quoted()] = true
			line("GRANT SELECT ON ", t.quoted(), " TO ", role, ";")
		}
	}
	p := publication{tables: s.Published}
	add, remove := p.difference(s.Tables)
	if statements := publicationSQL(s.Publication, s.Published != nil, add, remove); len(statements) > 0 {
		line()
		line("-- What the log says about which tables. It has to exist before the slot, which cdc run creates.")
		for _, statement := range statements {
			line(statement, ";")
		}
	}
	if s.State != "" {
		line()
		line("-- Where cdc keeps its checkpoint and ledger: outside Payload's schema, which drops tables it does not know.")
		b.WriteString(s.State)
	}
	return b.String()
}

// GrantSQL lets a role read tables.
func GrantSQL(role string, tables []Table) string {
	var schemas, names []string
	for _, t := range tables {
		if s := quoteName(t.Schema); !slices.Contains(schemas, s) {
			schemas = append(schemas, s)
		}
		names = append(names, t.quoted())
	}
	return "GRANT USAGE ON SCHEMA " + strings.Join(schemas, ", ") + " TO " + quoteName(role) +
		"; GRANT SELECT ON " + strings.Join(names, ", ") + " TO " + quoteName(role)
}

// comment keeps a name that contains a line break from ending the comment it is in.
func comment(text string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(text) }
