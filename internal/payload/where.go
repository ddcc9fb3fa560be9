package payload

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// compileWhere makes a condition on a root t of the equalities that documents have to meet.
func (c *compiler) compileWhere(where map[string]any) error {
	c.where = ""
	for _, text := range slices.Sorted(maps.Keys(where)) {
		t, err := c.target("where", text)
		if err != nil {
			return err
		}
		switch {
		case t.kind != aColumn:
			return c.refuse("where %q: it is no field with one value", text)
		case t.localized:
			return c.refuse("where %q: it has a value for each locale, and a document is in or out as a whole", text)
		case t.part.above != nil:
			return c.refuse("where %q: it is no field of the document itself", text)
		}
		is, err := equals(t.column, where[text])
		if err != nil {
			return c.refuse("where %q: %v", text, err)
		}
		c.where += " and t." + quoted(t.column.name) + is
	}
	return nil
}

// equals is the end of a condition that a column has a value.
func equals(col *column, value any) (string, error) {
	if value == nil {
		return " is null", nil
	}
	number, isNumber := decimal(value)
	text, isText := value.(string)
	if isText && (!utf8.ValidString(text) || strings.ContainsRune(text, 0)) {
		return "", fmt.Errorf("%q is no text that Postgres can hold", text)
	}
	wrong := func(want string) (string, error) { return "", fmt.Errorf("%#v is not %s", value, want) }
	switch {
	case col.enum && isText:
		if !slices.Contains(col.labels, text) {
			return "", fmt.Errorf("%q is none of its values%s There are: %s", text, near(text, col.labels), strings.Join(col.labels, ", "))
		}
		return "::text = " + literal(text), nil
	case col.enum:
		return wrong("one of " + strings.Join(col.labels, ", "))
	case col.typ == "boolean":
		if b, ok := value.(bool); ok {
			return fmt.Sprintf(" = %t", b), nil
		}
		return wrong("true or false")
	case col.typ == "character varying" || col.typ == "text":
		if isText {
			return " = " + literal(text), nil
		}
		return wrong("a text")
	case strings.HasPrefix(col.typ, "timestamp"):
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			return wrong("a time like 2026-01-31T12:00:00.000Z")
		}
		return " = " + literal(text) + "::timestamptz", nil
	case col.typ == "uuid":
		if isText && uuidText.MatchString(strings.ToLower(text)) {
			return " = " + literal(strings.ToLower(text)) + "::uuid", nil
		}
		return wrong("a uuid")
	}
	switch id := idTypeOf(col.typ); {
	case id.text:
		return "", fmt.Errorf("values of type %s cannot be compared", col.typ)
	case isNumber, isText && col.ref && plainNumber.MatchString(text):
		if isText {
			number = text
		}
		if col.typ != "numeric" && !id.can(number) {
			return wrong("a whole number that it can have")
		}
		return " = " + literal(number) + "::" + id.cast, nil
	}
	return wrong("a number")
}

var plainNumber = regexp.MustCompile(`^-?\d{1,300}(\.\d{1,300})?$`)

// decimal writes any kind of number that YAML or JSON makes.
func decimal(value any) (string, bool) {
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", false
		}
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// literal is a text as SQL, whatever standard_conforming_strings is.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
