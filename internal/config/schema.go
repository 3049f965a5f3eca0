package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Schema is the JSON Schema (2020-12) of weir.yaml, for editors and for
// checks without weir. It is made from the tables the parser reads by.
func Schema() []byte {
	root := objectSchema(rootKeys)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/weir-lb/weir/weir.schema.json"
	root["title"] = rootKeys.name
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		// Maps of texts, numbers and lists always encode.
		panic("config: schema: " + err.Error())
	}
	return append(text, '\n')
}

type schema = map[string]any

func objectSchema(o *object) schema {
	properties := schema{}
	for _, k := range o.keys {
		properties[k.name] = keySchema(k)
	}
	s := schema{"type": "object", "description": o.help, "properties": properties, "additionalProperties": false}
	if len(o.must) > 0 {
		s["required"] = o.must
	}
	return s
}

// shortSchema is objectSchema together with the bare value o is short for.
func shortSchema(o *object) schema {
	s := objectSchema(o)
	if o.short == "" {
		return s
	}
	return schema{"anyOf": []schema{keySchema(*o.key(o.short)), s}}
}

func keySchema(k key) schema {
	var s schema
	switch k.form {
	case formObject:
		s = shortSchema(k.of)
	case formList:
		s = schema{"type": []string{"array", "null"}, "items": shortSchema(k.of)}
	case formTexts:
		s = schema{"type": []string{"array", "null"}, "items": schema{"type": "string"}}
	case formBool:
		s = schema{"type": "boolean"}
	case formNumber:
		s = schema{"type": "integer", "minimum": k.min, "maximum": k.max}
	case formWord:
		s = schema{"type": "string", "enum": k.words}
	case formDuration:
		s = schema{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?(ns|us|ms|s|m|h))+$`}
	default:
		s = schema{"type": "string"}
	}
	s["description"] = k.help + bounds(k)
	if d := defaultValue(k); d != nil {
		s["default"] = d
	}
	return s
}

// bounds tells the range of a time in words, since a pattern cannot.
func bounds(k key) string {
	if k.form != formDuration {
		return ""
	}
	return fmt.Sprintf(" (from %s to %s)", brief(time.Duration(k.min)), brief(time.Duration(k.max)))
}

func defaultValue(k key) any {
	switch {
	case k.def == "":
		return nil
	case k.form == formBool, k.form == formNumber:
		return json.RawMessage(strings.TrimSpace(k.def))
	}
	return k.def
}
