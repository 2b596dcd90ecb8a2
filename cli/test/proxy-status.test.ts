import { expect, it } from 'vitest';
import { proxyStatus } from '../src/commands/proxy-status.ts';

const nowMs = Date.parse('2026-11-26T12:00:00Z');
const before = (ms: number): string => new Date(nowMs - ms).toISOString();
const envoy = 'type.googleapis.com/envoy.config.';
const [cds, lds] = [`${envoy}cluster.v3.Cluster`, `${envoy}listener.v3.Listener`];
const [eds, rds] = [
  `${envoy}endpoint.v3.ClusterLoadAssignment`,
  `${envoy}route.v3.RouteConfiguration`,
];

/** Of one pusher. */
function statusOf(streams: readonly object[]): string {
  return proxyStatus([{ name: 'pilot-0', streams, silence: '' }], nowMs);
}

it('proxy-status says of each type whether it is synced, and since when, as istioctl does', () => {
  const printed = statusOf([
    {
      ...{ proxy: 'web-1.shop', cluster_id: 'Kubernetes', proxy_version: '1.40.0', scope: 'abc' },
      resources: {
        [cds]: { sent: '5', acked: '5', sentTime: before(295_000) },
        [lds]: { sent: '6', acked: '4', sentTime: before(3_000) },
        [eds]: { sent: '7', acked: '3', sentTime: before(7_200_000), lastError: 'no' },
        [rds]: {},
      },
    },
    {
      ...{ proxy: 'a.shop', istio_version: '1.29.1', proxy_version: '1.36.4', scope: 'abc' },
      resources: {
        [cds]: { sent: 'resumed', acked: 'resumed' },
        'type.googleapis.com/envoy.service.runtime.v3.Runtime': {
          sent: '1',
          sentTime: before(93_600_000),
        },
        'type.googleapis.com/my.Own': { sent: '1', acked: '1', sentTime: before(500) },
      },
    },
  ]);
  expect(printed.split('\n').map((line) => line.split(/ {2,}/u))).toEqual([
    ['NAME', 'CLUSTER', 'CDS', 'LDS', 'EDS', 'RDS', 'RTDS', 'Own'].concat(
      'PUSHER',
      'VERSION',
      'SCOPE',
    ),
    ['a.shop', 'SYNCED', 'IGNORED', 'IGNORED', 'IGNORED', 'STALE (1d2h)', 'SYNCED (0s)'].concat(
      'pilot-0',
      '1.29.1',
      'abc',
    ),
    [
      ...['web-1.shop', 'Kubernetes', 'SYNCED (4m55s)', 'STALE (3s)', 'ERROR (2h)', 'NOT SENT'],
      ...['IGNORED', 'IGNORED', 'pilot-0', '1.40.0', 'abc'],
    ],
  ]);
});

it('proxy-status says of which types something is kept from a proxy, as others refused it', () => {
  const printed = statusOf([
    {
      ...{ proxy: 'web-1.shop', cluster_id: 'Kubernetes', proxy_version: '1.40.0', scope: 'abc' },
      resources: {
        [cds]: { sent: '5', acked: '5', sentTime: before(3_000), spared: true },
        [lds]: { spared: true },
        [eds]: { sent: '5', acked: '4', sentTime: before(3_000), spared: true },
        [rds]: { sent: '5', acked: '5', sentTime: before(3_000), lastError: 'no', spared: true },
      },
    },
  ]);
  expect(printed.split('\n')[1]?.split(/ {2,}/u).slice(2, 6)).toEqual([
    ...['SPARED (3s)', 'SPARED', 'STALE (3s)', 'ERROR (3s)'],
  ]);
});

it('proxy-status of no proxies is the header alone', () => {
  expect(statusOf([]).split(/ +/u)).toEqual([
    ...['NAME', 'CLUSTER', 'CDS', 'LDS', 'EDS', 'RDS', 'PUSHER', 'VERSION', 'SCOPE'],
  ]);
});
