import { expect, test } from 'vitest';
import {
  bool,
  decode,
  defaulted,
  int,
  list,
  map,
  object,
  oneOf,
  optional,
  refine,
  required,
  show,
  text,
} from '../src/decode.ts';

const port = object(
  {
    number: required(int(1, 65_535)),
    name: optional(text({ max: 5 })),
    protocol: defaulted(oneOf('TCP', 'UDP'), 'TCP'),
    open: defaulted(bool, false),
  },
  ['nodePort'],
);
const spec = object({
  ports: defaulted(list(port, { max: 2 }), []),
  selector: defaulted(map(text()), {}),
});

function problemsOf(value: unknown): string[] {
  const { problems } = decode(spec, value, { path: 'spec' });
  return problems.map((p) => `${p.severity} ${p.field} ${p.value} ${p.reason}`);
}

test('absent fields take defaults, null is absent, known but unread fields are dropped', () => {
  const { spec: decoded, problems } = decode(
    spec,
    { ports: [{ number: 80, name: null, nodePort: 3 }] },
    { path: 'spec' },
  );
  expect(problems).toEqual([]);
  expect(decoded).toEqual({
    ports: [{ number: 80, name: undefined, protocol: 'TCP', open: false }],
    selector: {},
  });
});

test('every refusal names the full path of its field, and one does not hide the next', () => {
  expect(
    problemsOf({
      ports: [
        { number: '80', name: 'toolong' },
        { protocol: 'SCTP', open: 'yes' },
      ],
      selector: { 'a.b/c': 3 },
      port: [],
    }),
  ).toEqual([
    'error spec.port a list of 0 unknown field; did you mean ports?',
    'error spec.ports[0].number "80" must be a whole number, not a string',
    'error spec.ports[0].name "toolong" must have at most 5 characters',
    'error spec.ports[1].number  is required',
    'error spec.ports[1].protocol "SCTP" must be one of TCP, UDP',
    'error spec.ports[1].open "yes" must be true or false, not a string',
    'error spec.selector["a.b/c"] 3 must be a string, not a number',
  ]);
});

test('an unknown field of a served object is a warning, and the object is taken', () => {
  const { spec: decoded, problems } = decode(
    spec,
    { future: 1 },
    { path: 'spec', unknownFields: 'warning' },
  );
  expect(decoded).toEqual({ ports: [], selector: {} });
  expect(problems.map((p) => [p.severity, p.field])).toEqual([['warning', 'spec.future']]);
});

test('the problems of one object are bounded, and a long value is cut', () => {
  const many = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`f${i}`, 'x'.repeat(999)]),
  );
  const { problems } = decode(spec, many, { path: 'spec' });
  expect(problems.length).toBeLessThanOrEqual(64);
  expect(problems[0]?.value.length).toBeLessThanOrEqual(121);
});

test('a refinement sees only values that decoded, and may refuse them', () => {
  const even = refine(int(), (value, at) =>
    value % 2 === 0 ? value / 2 : at.error(value, 'is odd'),
  );
  expect(decode(even, 4, { path: 'n' })).toEqual({ spec: 2, problems: [] });
  expect(decode(even, 3, { path: 'n' }).problems).toEqual([
    { severity: 'error', field: 'n', value: '3', reason: 'is odd' },
  ]);
  expect(decode(even, 'x', { path: 'n' }).problems).toHaveLength(1);
});

test('fields named like members of every object are fields like others', () => {
  const { spec: decoded } = decode(map(int()), JSON.parse('{"__proto__": 1, "constructor": 2}'), {
    path: 'm',
  });
  expect(Object.entries(decoded ?? {})).toEqual([
    ['__proto__', 1],
    ['constructor', 2],
  ]);
});

test('objects and lists are shown by their shape', () => {
  expect([{}, { a: 1 }, { a: 1, b: 2 }, [1], null].map(show)).toEqual([
    'an object of 0 fields',
    'an object of 1 field',
    'an object of 2 fields',
    'a list of 1',
    'null',
  ]);
});
