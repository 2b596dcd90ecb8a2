import { expect } from 'vitest';
import { parse } from 'yaml';
import type { RawObject } from '../../src/kind.ts';
import { Objects } from './harness.ts';

/** A spec in YAML, and the start of what must be said of it (`severity: field: reason`). */
export type Case = readonly [spec: string, ...said: string[]];

export interface Of {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name?: string;
}

/** An object of the namespace `shop`. */
export function objectOf({ apiVersion, kind, name = 'test' }: Of, spec: string): RawObject {
  return { apiVersion, kind, metadata: { name, namespace: 'shop' }, spec: parse(spec) };
}

/** Lines as `severity: field: reason: value`, of decoding alone. */
export function saidOf(of: Of, spec: string): { lines: string[]; isTaken: boolean } {
  const objects = new Objects();
  objects.put(objectOf(of, spec));
  const prefix = `${of.kind} shop/${of.name ?? 'test'}: `;
  const lines = objects
    .problems()
    .filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length));
  return { lines, isTaken: !lines.some((line) => line.startsWith('error')) };
}

/** Every expectation is met by a line of its own, and there is no other error. */
export function expectSaid(of: Of, [spec, ...expected]: Case): void {
  const { lines } = saidOf(of, spec);
  for (const start of expected) {
    expect(
      lines.some((line) => line.startsWith(start)),
      `${start}\n in\n${lines.join('\n')}`,
    ).toBe(true);
  }
  const errors = lines.filter((line) => line.startsWith('error'));
  expect(errors.filter((line) => !expected.some((start) => line.startsWith(start)))).toEqual([]);
}
