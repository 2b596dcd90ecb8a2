import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChunk } from '../src/parse/documents.ts';
import { defaultLimits } from '../src/parse/limits.ts';
import { parseJson } from '../src/parse/json.ts';

/** A comment makes it YAML, which is what the slower parser is for. */
const asYaml = (text: string): string => `${text}\n# no JSON`;

const spaces = fc.constantFrom(undefined, 1, 2, '\t');
const lists = fc.record(
  { kind: fc.constant('List'), before: fc.jsonValue(), items: fc.array(fc.jsonValue()) },
  { requiredKeys: ['kind'] },
);

describe('JSON', () => {
  test('is what it would be as YAML, with the same lines', () => {
    fc.assert(
      fc.property(
        fc.oneof(lists, fc.dictionary(fc.string(), fc.jsonValue())),
        spaces,
        (value, indent) => {
          const text = `\n${JSON.stringify(value, undefined, indent)}`;
          expect(parseJson(text, defaultLimits)).toBeDefined();
          expect(parseChunk(text)).toEqual(parseChunk(asYaml(text)));
        },
      ),
    );
  });

  test('keeps keys of every object as keys like others', () => {
    const found = parseJson('{"__proto__": {"polluted": true}}', defaultLimits);
    expect(Object.entries(found?.value ?? {})).toEqual([['__proto__', { polluted: true }]]);
    expect('polluted' in {}).toBe(false);
  });

  test.each([
    ['a key that is written twice', '{"a": {"b": 1, "b": 1}}'],
    ['the same key, spelled in two ways', String.raw`{"a": 1, "\u0061": 2}`],
    ['a comment', '{"a": 1} # one'],
    ['a trailing comma', '{"a": 1,}'],
    ['a text that does not end', String.raw`{"a": "\"}`],
    ['two documents', '{"a": 1}\n{"a": 1}'],
    ['a list', '[1]'],
    ['nesting without end', '{"a":'.repeat(100_000)],
    ['too many values', `{"a": [${'0,'.repeat(defaultLimits.values)}0]}`],
  ])('%s is left to who can tell what is wrong', (_, text) => {
    expect(parseJson(text, defaultLimits)).toBeUndefined();
  });
});
