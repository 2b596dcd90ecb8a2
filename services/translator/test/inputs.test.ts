import { Graph } from '@watershed/derive/graph.ts';
import { Event, Gateway, Policy, Route, Secret, Service } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import type { ConfigKind } from '@watershed/model/keys.ts';
import { describe, expect, it } from 'vitest';
import { applyRecord, createInputs, everything, labelKey, selectorKey } from '../src/inputs.ts';
import type { Applied, Inputs } from '../src/inputs.ts';

type EventObject = NonNullable<Event['object']>;

function put(inputs: Inputs, name: string, object: EventObject, namespace = 'ns'): Applied {
  // Endpoints have keys of another form.
  const kind = object.$case as ConfigKind;
  const key = configKey({ cluster: 'c', kind, namespace, name });
  return applyRecord(inputs, 'config', key, Event.encode({ object }).finish());
}

const names = (entries: readonly { readonly value: { readonly name: string } }[]): string[] =>
  entries.map((entry) => entry.value.name);

describe('inputs', () => {
  it('are decoded once, frozen with all that they hold, and stay the same object while bytes are equal', () => {
    const inputs = createInputs(new Graph());
    const value = Service.fromPartial({ host: 'a', ports: [{ number: 80 }] });
    expect(put(inputs, 'a', { $case: 'service', value })).toEqual({ outcome: 'changed' });
    const first = inputs.services.peek('c|service|ns|a');
    expect(first).toMatchObject({ cluster: 'c', namespace: 'ns', name: 'a', value });
    expect(Object.isFrozen(first?.value.ports[0])).toBe(true);
    expect(put(inputs, 'a', { $case: 'service', value })).toEqual({ outcome: 'equal' });
    expect(inputs.services.peek('c|service|ns|a')).toBe(first);
  });

  it('refuse what they cannot read, and keep what they have', () => {
    const inputs = createInputs(new Graph());
    const value = Service.fromPartial({ host: 'a' });
    put(inputs, 'a', { $case: 'service', value });
    const asRoute = Event.encode({ object: { $case: 'route', value: Route.fromPartial({}) } });
    const wrong: [string, Uint8Array][] = [
      ['c|service|ns|a', Uint8Array.of(255)],
      ['c|service|ns|a', asRoute.finish()],
      ['c|service|ns|a', new Uint8Array()],
      ['c|nonsense|ns|a', new Uint8Array()],
      ['too|short', new Uint8Array()],
    ];
    for (const [key, bytes] of wrong) {
      expect(applyRecord(inputs, 'config', key, bytes)).toMatchObject({
        outcome: 'refused',
        refused: { key },
      });
    }
    expect(inputs.services.peek('c|service|ns|a')?.value.host).toBe('a');
  });

  it('find services by where they are visible and by the workloads behind them', () => {
    const inputs = createInputs(new Graph());
    const service = (name: string, exportTo: string[], selector: Record<string, string>): void => {
      const value = Service.fromPartial({ host: `${name}.test`, exportTo, selector });
      put(inputs, name, { $case: 'service', value });
    };
    service('public', ['*'], { app: 'x', tier: 'front' });
    service('some', ['a', 'b', 'a'], {});
    service('nobody', ['~'], { tier: 'front' });
    const { servicesByExport, servicesByWorkload } = inputs.indexes;
    expect(names(servicesByExport.peek('*'))).toEqual(['public']);
    expect(names(servicesByExport.peek('a'))).toEqual(['some']);
    expect(names(servicesByExport.peek('~'))).toEqual([]);
    expect(names(servicesByWorkload.peek(labelKey('ns', 'app', 'x')))).toEqual(['public']);
    expect(names(servicesByWorkload.peek(labelKey('ns', 'tier', 'front')))).toEqual(['nobody']);
    expect(names(servicesByWorkload.peek(selectorKey('ns', {})))).toEqual(['some']);
  });

  it('find routes by each of their parents, those that single matches narrow to as well', () => {
    const inputs = createInputs(new Graph());
    const gateway = (name: string) => ({
      to: { $case: 'gateway' as const, value: { namespace: 'g', name } },
    });
    const value = Route.fromPartial({
      hosts: ['a', 'a', '*.b'],
      parents: [gateway('one'), { to: { $case: 'serviceHost', value: 's' } }],
      rules: [
        { matches: [{ gateways: [gateway('two'), { to: { $case: 'mesh', value: true } }] }] },
      ],
      exportTo: ['*', 'x'],
    });
    put(inputs, 'r', { $case: 'route', value });
    const { indexes } = inputs;
    for (const found of [
      indexes.routesByGateway.peek('g|one'),
      indexes.routesByGateway.peek('g|two'),
      indexes.routesByServiceHost.peek('s'),
      indexes.routesByMesh.peek('*'),
      indexes.routesByMesh.peek('x'),
      indexes.routesByHost.peek('*.b'),
      indexes.routesByNamespace.peek('ns'),
    ]) {
      expect(names(found)).toEqual(['r']);
    }
    put(inputs, 'r', { $case: 'route', value: { ...value, parents: [], rules: [] } });
    expect(indexes.routesByGateway.peek('g|one')).toEqual([]);
    expect(indexes.routesByMesh.peek('*')).toEqual([]);
  });

  it('find policies, gateways, secrets and namespaces by what asks for them', () => {
    const inputs = createInputs(new Graph());
    const { indexes } = inputs;
    put(inputs, 'p', { $case: 'policy', value: Policy.fromPartial({ host: '*.b' }) });
    const selector = { istio: 'ingress' };
    put(inputs, 'g', { $case: 'gateway', value: Gateway.fromPartial({ selector }) });
    put(inputs, 's', { $case: 'secret', value: Secret.fromPartial({ sealed: Uint8Array.of(1) }) });
    put(inputs, 'n', { $case: 'namespace', value: { labels: { a: 'b' } } }, '');
    expect(names(indexes.policiesByHost.peek('*.b'))).toEqual(['p']);
    expect(names(indexes.policiesByNamespaceHost.peek('ns|*.b'))).toEqual(['p']);
    expect(names(indexes.gatewaysBySelector.peek(labelKey('', 'istio', 'ingress')))).toEqual(['g']);
    expect(names(indexes.secretsByName.peek('ns|s'))).toEqual(['s']);
    expect(names(indexes.namespacesByName.peek('n'))).toEqual(['n']);
    expect(names(indexes.namespacesByName.peek(everything))).toEqual(['n']);
  });
});
