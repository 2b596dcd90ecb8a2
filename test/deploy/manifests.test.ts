/** What can be told of manifests as they are written; test/kube builds them and asks an API server. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { program } from '@watershed/pusher/config.ts';
import { advertised } from '@watershed/pusher/placement/advertised.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { expect, test } from 'vitest';
import { environmentOf, manifestsOf, type Manifest } from '../kube/cluster.ts';

const overlays = join(import.meta.dirname, '../../k8s/overlays');

function written(path: string): readonly Manifest[] {
  return manifestsOf(readFileSync(join(overlays, path), 'utf8'));
}

test("each pusher's address is its Pod's own, by the headless Service, where it serves TLS", () => {
  const manifests = written('cluster/pusher.yaml');
  const spec = manifests.find(({ kind }) => kind === 'StatefulSet')?.spec;
  const [container] = spec?.template?.spec.containers ?? [];
  if (container === undefined) throw new Error('there is no pusher');
  const addresses = ['watershed-pusher-0', 'watershed-pusher-1'].map((name) => {
    const environment = {
      ...environmentOf(manifests, container, { name, namespace: 'mine' }),
      // Of the ConfigMap.
      WATERSHED_KAFKA_BROKERS: 'kafka:9092',
      WATERSHED_REDIS_URL: 'redis://redis:6379',
    };
    const parsed = parseOptions(program, { argv: [], environment });
    if (parsed.kind !== 'run') throw new Error(parsed.text);
    const { advertisedAddr } = parsed.config;
    return advertisedAddr && advertised(advertisedAddr);
  });
  const of = `${spec?.serviceName}.mine.svc:15012`;
  expect(addresses).toEqual([`watershed-pusher-0.${of}`, `watershed-pusher-1.${of}`]);
  expect(container.ports).toContainEqual({ name: 'tls-xds', containerPort: 15012 });
});

test('no Pod waits for a node that may never come', () => {
  for (const tier of ['pusher', 'translator']) {
    const text = readFileSync(join(overlays, `scale/${tier}.yaml`), 'utf8');
    const spread = [...text.matchAll(/whenUnsatisfiable: (\w+)/gu)].map(([, what]) => what);
    expect(spread).toEqual(['ScheduleAnyway', 'ScheduleAnyway']);
  }
});
