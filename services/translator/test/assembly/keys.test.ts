import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OutboundMode } from '@watershed/model/gen/model.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { assignmentResource } from '../../src/assembly/assignments.ts';
import { clusterResource, parseCluster, type ClusterKey } from '../../src/assembly/cluster-key.ts';
import { listenerResource, parseListener } from '../../src/assembly/listener-key.ts';
import type { ListenerKey } from '../../src/assembly/listener-key.ts';
import { parseRouteTable, routeTableId } from '../../src/assembly/route-table.ts';
import type { RouteTableKey } from '../../src/assembly/route-table.ts';
import { decodeVariant, encodeVariant } from '../../src/assembly/variant.ts';

/** Names, hosts and keys as they occur, and characters that a variant gives a meaning to. */
const text = fc.stringMatching(/^[a-z0-9.*|:=%;,-]{1,12}$/);
const name = fc.stringMatching(/^[a-z0-9.*-]{1,12}$/);
const optional = fc.oneof(fc.constant(''), text);
const port = fc.integer({ min: 1, max: 65_535 });
const labels = fc.dictionary(
  fc.stringMatching(/^[a-z./-]{1,8}$/),
  fc.stringMatching(/^[a-z0-9._-]{0,8}$/),
  { noNullPrototype: true },
);

const streams = fc.constantFrom('', 'grpc', 'delta-grpc');

const clusterKey: fc.Arbitrary<ClusterKey> = fc.record({
  host: name,
  port,
  subset: fc.oneof(fc.constant(''), name),
  service: text,
  policies: optional,
  client: fc.record({
    router: fc.boolean(),
    certificates: fc.boolean(),
    direct: fc.boolean(),
    proxyless: fc.boolean(),
    mesh: optional,
    streams,
  }),
});

const mode = fc.constantFrom(
  undefined,
  OutboundMode.OUTBOUND_MODE_ALLOW_ANY,
  OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY,
);
const common = { mesh: optional, mode, bindToPort: fc.boolean(), streams };
const listenerKey: fc.Arbitrary<ListenerKey> = fc.oneof(
  fc.record({ ...common, kind: fc.constant('http' as const), plainHttp: fc.boolean() }),
  fc.record({
    ...common,
    kind: fc.constant('service' as const),
    service: fc.record({ host: name, ref: text, ports: fc.constant([]) }),
    clusterPort: port,
    auto: fc.boolean(),
    policies: optional,
  }),
);

describe('what a variant names can be read back from it:', () => {
  test('any fields but empty ones', () => {
    const fields = fc.dictionary(fc.stringMatching(/^[a-z]$/), optional);
    fc.assert(
      fc.property(fields, (fields) => {
        const named = Object.entries(fields).filter(([, value]) => value !== '');
        expect(decodeVariant(encodeVariant(fields))).toEqual(new Map(named));
      }),
    );
  });

  test('a cluster, and its assignment wherever the proxy is', () => {
    fc.assert(
      fc.property(clusterKey, optional, labels, (key, locality, labels) => {
        const cluster = clusterResource(key);
        expect(parseCluster(cluster.name, cluster.variant)).toEqual(key);
        const assignment = assignmentResource(key, { locality, labels });
        expect(parseCluster(assignment.name, assignment.variant)).toEqual(key);
      }),
    );
  });

  test('a listener', () => {
    fc.assert(
      fc.property(listenerKey, (key) => {
        expect(parseListener(listenerResource('0.0.0.0_80', key).variant)).toEqual(key);
      }),
    );
  });

  test('a route table', () => {
    const tableKey: fc.Arbitrary<RouteTableKey> = fc.record({
      name: text,
      client: fc.record({
        namespace: name,
        cluster: name,
        mesh: optional,
        dnsDomain: optional,
        policies: optional,
        labels,
      }),
      view: optional,
      listener: fc.nat(9),
      port: fc.nat(65_535),
      host: optional,
      proxyless: fc.boolean(),
    });
    fc.assert(
      fc.property(tableKey, (key) => {
        const id = routeTableId(key);
        expect(id.typeUrl).toBe(resourceTypes.route);
        expect(parseRouteTable(id)).toEqual(key);
      }),
    );
  });
});
