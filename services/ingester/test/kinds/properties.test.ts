import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { isObject } from '../../src/decode.ts';
import type { RawObject } from '../../src/kind.ts';
import { headerValueProblem } from '../../src/kinds/common/format.ts';
import {
  canonicalHost,
  fullHost,
  hostIntersection,
  hostsOverlap,
} from '../../src/kinds/common/hosts.ts';
import { goldens, Objects } from './harness.ts';

const inputs = ['istio', 'gateway-api'].flatMap((folder) =>
  goldens(join(import.meta.dirname, folder, 'golden')),
);
const objectsOf = (input: string): RawObject[] =>
  parseAllDocuments(input).map((document) => document.toJS());
const everyObject = inputs.flatMap(({ input }) => objectsOf(input));

/** Lists whose order the API gives no meaning, by the name of their field. */
const unordered = new Set([
  'distribute',
  'endpoints',
  'exportTo',
  'gateways',
  'headers',
  'hostnames',
  'hosts',
  'ipBlocks',
  'namespaces',
  'notValues',
  'portLevelSettings',
  'ports',
  'principals',
  'queryParams',
  'remove',
  'serviceAccounts',
  'subjectAltNames',
  'values',
  'verifyCertificateHash',
]);
/** Reverses the order of the keys of every object, and of every list whose order says nothing. */
function turned(value: unknown, field = ''): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => turned(item));
    return unordered.has(field) ? items.reverse() : items;
  }
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, turned(inner, key)]);
  return Object.fromEntries(entries.reverse());
}

function emitted(objects: readonly RawObject[]): string {
  const world = new Objects();
  for (const object of objects) world.put(object);
  return world.fingerprint();
}

describe('normalising', () => {
  it.each(inputs.map(({ name, input }) => [name, input] as const))(
    'gives %s the same bytes in whatever order keys, lists without order and objects come',
    (_, input) => {
      const objects = objectsOf(input);
      // Of equal header names the first counts: there the order says something.
      const clean = objects.map((object) => JSON.parse(withoutDuplicates(JSON.stringify(object))));
      const reversed = clean.map((object) => turned(object)).reverse() as RawObject[];
      expect(emitted(reversed)).toBe(emitted(clean));
    },
  );

  it.each(inputs.map(({ name, input }) => [name, input] as const))(
    'computes nothing when the objects of %s come again',
    (_, input) => {
      const objects = new Objects().apply(input);
      const before = objects.fingerprint();
      const computed = new Map(objects.graph.computed);
      for (const object of objectsOf(input)) objects.put(object);
      expect(objects.fingerprint()).toBe(before);
      expect(objects.graph.computed).toEqual(computed);
    },
  );
});

/** Drops the entry that says `ignored`, and those of a second header `a`. */
function withoutDuplicates(text: string): string {
  return text
    .replace(',{"name":"x-b","value":"ignored"}', '')
    .replace(',{"name":"a","value":"2"}', '');
}

// ---------------------------------------------------------------- fuzzing

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value ?? {});
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...entries.flatMap(([key, inner]) => pathsOf(inner, [...path, key]))];
}

function withValue(object: unknown, [step, ...rest]: Path, value: unknown): unknown {
  if (step === undefined) return value;
  if (Array.isArray(object)) {
    return object.map((item: unknown, i) => (i === step ? withValue(item, rest, value) : item));
  }
  if (!isObject(object)) return object;
  return { ...object, [step]: withValue(object[step], rest, value) };
}

const odd = fc.oneof(
  fc.constantFrom(null, '', '*', '.', '/', '|', '~', '%', '-', 0, -1, 1e300, true, [], {}, [null]),
  fc.constantFrom(
    'a|b',
    'a/b/c',
    '__proto__',
    'x'.repeat(5_000),
    '\u0000',
    'ü.example.com',
    '1.5s',
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

it('refuses or takes any change of any field, and never fails', () => {
  const objects = new Objects();
  for (const object of everyObject) objects.put(object);
  const change = fc.constantFrom(...everyObject).chain((object) => {
    const paths = pathsOf(object['spec'] ?? {}).filter((path) => path.length > 0);
    return fc.record({
      object: fc.constant(object),
      path: paths.length === 0 ? fc.constant<Path>([]) : fc.constantFrom(...paths),
      value: odd,
    });
  });
  fc.assert(
    fc.property(change, ({ object, path, value }) => {
      const raw = { ...object, spec: withValue(object['spec'] ?? {}, path, value) };
      objects.put(raw);
      const said = objects.problems().filter((line) => line.includes('internal error'));
      expect(said).toEqual([]);
      expect(objects.events().length).toBeGreaterThan(0);
      objects.put(object);
    }),
    { numRuns: 600 },
  );
});

// ---------------------------------------------------------------- hosts and header values

const label = fc.stringMatching(/^[a-z0-9]{1,4}$/u);
const plain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const host = fc.oneof(
  plain,
  plain.map((name) => `*.${name}`),
  fc.constant('*'),
);

it('puts a host in full form once: the full form of it is itself', () => {
  fc.assert(
    fc.property(host, fc.boolean(), (name, upper) => {
      const full = fullHost(upper ? name.toUpperCase() : name, 'ns', 'cluster.local');
      expect(fullHost(full, 'other', 'else.where')).toBe(full);
      expect(fullHost(`${full}.`, 'other', 'else.where')).toBe(full);
      expect(canonicalHost(full)).toBe(full);
    }),
  );
});

it('finds the same intersection of two hosts from either side, and it is within both', () => {
  fc.assert(
    fc.property(host, host, (a, b) => {
      const both = hostIntersection(a, b);
      expect(both).toBe(hostIntersection(b, a));
      expect(both !== undefined).toBe(hostsOverlap(a, b));
      if (both === undefined) return;
      expect(hostIntersection(both, a)).toBe(both);
      expect(hostIntersection(both, b)).toBe(both);
    }),
  );
});

it('takes every header value whose percent signs are doubled', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[ -~]*$/u), (text) => {
      expect(headerValueProblem(text.replaceAll('%', '%%'))).toBeUndefined();
    }),
  );
});
