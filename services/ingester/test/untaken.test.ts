import { expect, test } from 'vitest';
import { Diagnostics } from '../src/core/diagnostics.ts';
import type { PublishedEvent } from '../src/core/ingest.ts';
import { Untaken } from '../src/core/untaken.ts';

const event = (owner: string, key = 'k'): PublishedEvent => ({
  topic: 'config',
  key,
  value: new Uint8Array(1),
  owner,
  unit: 'old.yaml',
  version: '1',
});

function setUp() {
  const diagnostics = new Diagnostics(() => 0);
  const untaken = new Untaken(diagnostics, () => 'new.yaml:3');
  const told = (): readonly string[] =>
    diagnostics.list().map(({ name, origin, reason }) => `${name} at ${origin}: ${reason}`);
  return { untaken, told };
}

const reason = 'the log does not take its event: too large';

test('what the log does not take is told of at the object, where that is written by now', () => {
  const { untaken, told } = setUp();
  untaken.refused(event('/Thing//a'), 'too large');
  untaken.refused(event('/Thing//a', 'l'), 'too large');
  expect(told()).toEqual([`a at new.yaml:3: ${reason}`, `a at new.yaml:3: ${reason}`]);
  untaken.taken(event('/Thing//a'));
  expect(told()).toHaveLength(1);
  untaken.taken(event('/Thing//a', 'l'));
  expect(told()).toEqual([]);
});

test('when another object gives it, nothing is told of the former any more', () => {
  const { untaken, told } = setUp();
  untaken.refused(event('/Thing//a'), 'too large');
  untaken.refused(event('/Thing//b'), 'too large');
  expect(told()).toEqual([`b at new.yaml:3: ${reason}`]);
  untaken.taken(event('/Thing//a'));
  expect(told()).toEqual([]);
});
