package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// identifier is a vector's id on the wire: a string, or a number, which becomes one.
type identifier string

func (id *identifier) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*id = identifier(s)
		return nil
	}
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*id = identifier(b)
		return nil
	}
	return errors.New("an id is a string or a number")
}

// identifiers is a list of ids, or one alone.
type identifiers []string

func (ids *identifiers) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '[' {
		if string(b) == "null" {
			*ids = nil
			return nil
		}
		var one identifier
		if err := one.UnmarshalJSON(b); err != nil {
			return err
		}
		*ids = identifiers{string(one)}
		return nil
	}
	// Pointers: a null in the list is not an id.
	var many []*identifier
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*ids = make(identifiers, len(many))
	for i, one := range many {
		if one == nil {
			return errors.New("an id is a string or a number")
		}
		(*ids)[i] = string(*one)
	}
	return nil
}

// floats is a vector's values. Unlike []float32 it refuses null, which is how JavaScript writes NaN.
type floats []float32

func (f *floats) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = nil
		return nil
	}
	if len(b) < 2 || b[0] != '[' {
		return errors.New("a vector is a list of numbers")
	}
	values := make([]float32, 0, bytes.Count(b, []byte{','})+1)
	for rest := bytes.TrimSpace(b[1 : len(b)-1]); len(rest) > 0; {
		one, more, found := bytes.Cut(rest, []byte{','})
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(one)), 32)
		if err != nil {
			return fmt.Errorf("a vector is a list of numbers: %w", err)
		}
		values = append(values, float32(v))
		rest = more
		if found && len(bytes.TrimSpace(rest)) == 0 {
			return errors.New("a vector is a list of numbers")
		}
	}
	*f = values
	return nil
}

// incoming is a vector as upsert and update read it.
type incoming struct {
	ID       *identifier     `json:"id"`
	Vector   floats          `json:"vector"`
	Sparse   json.RawMessage `json:"sparseVector"`
	Metadata json.RawMessage `json:"metadata"`
	Data     *string         `json:"data"`
	Mode     string          `json:"metadataUpdateMode"`
}

// include says what an answer's vectors carry besides their ids.
type include struct {
	Metadata bool `json:"includeMetadata"`
	Vectors  bool `json:"includeVectors"`
	Data     bool `json:"includeData"`
}

// found is a vector as it is answered. What is absent or was not asked for has no key.
type found struct {
	ID       string          `json:"id"`
	Score    *float32        `json:"score,omitempty"`
	Vector   []float32       `json:"vector,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Data     *string         `json:"data,omitempty"`
}

func (in include) of(v *Vector) *found {
	f := &found{ID: v.ID}
	if in.Metadata {
		f.Metadata = v.Metadata
	}
	if in.Vectors {
		f.Vector = v.Values
	}
	if in.Data {
		f.Data = v.Data
	}
	return f
}

// isNull says whether an optional value was left out; Python's client sends null instead.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// object returns raw as metadata: nothing, or one JSON object, without insignificant space.
func object(raw json.RawMessage) (json.RawMessage, error) {
	if isNull(raw) {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, wrongInput(nil, 0)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, wrongInput(err, 0)
	}
	if b.Len() > maxMetadata {
		return nil, refusal(http.StatusUnprocessableEntity, "Metadata size exceeds the limit of %d bytes", maxMetadata) // our guess
	}
	return b.Bytes(), nil
}

// wrongInput is the vendor's answer to JSON that is malformed or of the wrong shape, in the words of its parser.
func wrongInput(err error, column int64) error {
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		column = syntax.Offset
	case errors.As(err, &shape):
		column = shape.Offset
	}
	return refusal(http.StatusBadRequest, "Missing or wrong input at [Source: (ByteArrayInputStream); line: 1, column: %d]", max(column, 1))
}

// decode reads a body of one JSON value. Nothing at all leaves v as it is.
func decode(body []byte, v any) error {
	if !utf8.Valid(body) {
		return wrongInput(nil, 0)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return wrongInput(err, 0)
	}
	return nil
}

// oneOrMany reads one object or an array of them.
func oneOrMany[T any](body []byte) (all []T, many bool, err error) {
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '[' {
		// Pointers, for null is not an object.
		var ptrs []*T
		if err := decode(body, &ptrs); err != nil {
			return nil, true, err
		}
		for _, p := range ptrs {
			if p == nil {
				return nil, true, wrongInput(nil, 0)
			}
			all = append(all, *p)
		}
		return all, true, nil
	}
	if len(body) == 0 || body[0] != '{' {
		return nil, false, wrongInput(nil, 0)
	}
	var one T
	if err := decode(body, &one); err != nil {
		return nil, false, err
	}
	return []T{one}, false, nil
}

// marshal writes JSON as the vendor does: <, > and & as themselves, floats as short as 32 bits allow.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

func zero(values []float32) bool {
	for _, v := range values {
		if v != 0 {
			return false
		}
	}
	return true
}

func finite(values []float32) bool {
	for _, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
