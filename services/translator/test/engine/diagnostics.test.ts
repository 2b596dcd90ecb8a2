import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { beforeEach, expect, it } from 'vitest';
import { Diagnostics, shown } from '../../src/engine/diagnostics.ts';

let lines: string[] = [];
const logging = new Logging({
  scopes: ['x'],
  levels: 'all:info',
  json: true,
  clock: systemTime,
  write: (line) => void lines.push(line),
});
let diagnostics: Diagnostics;

beforeEach(() => {
  diagnostics = new Diagnostics(new Metrics(), logging.scope('x'));
});

const finding = (reason: string) => ({
  object: 'c|gateway|edge|public',
  field: 'spec.servers[https].port.number',
  value: '443',
  reason,
});

function logged(): readonly string[] {
  lines = [];
  diagnostics.flush();
  return lines;
}

it('a warning is logged once, in however many places it is found, and when no place has it', () => {
  diagnostics.set('scope a', { warning: [finding('is taken')] });
  diagnostics.set('scope b', { warning: [finding('is taken')] });
  expect(logged()).toEqual([
    expect.stringContaining('Gateway edge/public: spec.servers[https].port.number 443: is taken'),
  ]);
  diagnostics.set('scope a', { warning: [finding('is taken')] });
  diagnostics.clear('scope b');
  expect(logged()).toEqual([]);
  diagnostics.set('scope a', {});
  expect(logged()).toEqual([expect.stringMatching(/"level":"info".*is taken.*is over/u)]);
});

it('what moves from one place to another within a pass is not news', () => {
  diagnostics.set('scope a', { warning: [finding('is taken')] });
  logged();
  diagnostics.clear('scope a');
  diagnostics.set('scope b', { warning: [finding('is taken')] });
  expect(logged()).toEqual([]);
});

it('of an error tells who keeps the last good output for it', () => {
  diagnostics.set('scope a', { error: [finding('is broken')] });
  expect(logged()).toEqual([]);
});

it.each([
  ['c|gateway|edge|public', { group: 'networking.istio.io', kind: 'Gateway', name: 'public' }],
  [
    'c|gateway|edge|gateway-api:public',
    { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'public' },
  ],
  ['c|route|edge|a', { kind: 'VirtualService', name: 'a' }],
  ['c|route|edge|httproute:a:consumer', { kind: 'HTTPRoute', name: 'a' }],
  ['c|route|edge|httproute:a', { kind: 'HTTPRoute', name: 'a' }],
  ['c|service|edge|a', { kind: 'Service', name: 'a' }],
  ['c|service|edge|a:*.example.com', { kind: 'ServiceEntry', name: 'a' }],
])('%s is shown as the object that the user wrote', (object, expected) => {
  diagnostics.set('scope a', { warning: [{ ...finding('is taken'), object }] });
  expect(diagnostics.list().map(shown)).toMatchObject([{ ...expected, namespace: 'edge' }]);
});

it('the origin is the scope, or the resource by its type and name', () => {
  const origin = (at: string): unknown => {
    diagnostics.set(at, { warning: [finding('is taken')] });
    const found = diagnostics.list().map(shown);
    diagnostics.clear(at);
    return found;
  };
  expect(origin('scope a')).toMatchObject([{ origin: 'scope a' }]);
  const type = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
  expect(origin(`${type}\noutbound|80||a.b\ns=shop`)).toMatchObject([
    { origin: 'Cluster outbound|80||a.b' },
  ]);
});
