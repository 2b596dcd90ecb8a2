/** What the goldens of ztunnel's types do not tell apart: settings of meshes, and a policy alone. */
import { Event } from '@watershed/model/gen/model.ts';
import { ScopeClass } from '@watershed/model/gen/record.ts';
import { configKey, endpointsKey, type ConfigKind } from '@watershed/model/keys.ts';
import type { Corpus, Input } from './bed.ts';

type Json = Readonly<Record<string, unknown>>;

function object(kind: ConfigKind, path: string, value: Json, cluster = 'c1'): Input {
  const [namespace = '', name = ''] = path.split('/');
  const key = configKey({ cluster, kind, namespace, name });
  return { topic: 'config', key, object: Event.fromJSON({ [kind]: value }).object };
}

function workload(name: string, cluster: string): Input {
  const uid = `${cluster}//Pod/shop/${name}`;
  const key = { host: uid, cluster, kind: 'instance', namespace: 'shop', name } as const;
  const value = { uid, name, namespace: 'shop', addresses: ['10.0.0.1'] };
  const { object: event } = Event.fromJSON({ workload: value });
  return { topic: 'endpoints', key: endpointsKey(key), object: event };
}

const mesh = {
  rootNamespace: 'istio-system',
  trustDomain: 'one.example',
  proxyListenPort: 15_001,
  proxyInboundListenPort: 15_006,
};

export const ztunnelCorpus: Corpus = {
  inputs: [
    object('mesh', '/default', mesh),
    workload('one', 'c1'),
    workload('two', 'c2'),
    object('authorization', 'istio-system/all', {}),
    object('authorization', 'shop/all', {}, 'c2'),
    object('peerAuthentication', 'istio-system/default', { mode: 'PEER_MODE_STRICT' }),
  ],
  extra: [
    object(
      'mesh',
      '/default',
      { ...mesh, rootNamespace: 'shop', trustDomain: 'two.example' },
      'c2',
    ),
  ],
  scopes: [
    ScopeClass.fromJSON({ type: 'PROXY_TYPE_ZTUNNEL' }),
    ScopeClass.fromJSON({
      type: 'PROXY_TYPE_SIDECAR',
      namespace: 'shop',
      cluster: 'c1',
      dnsDomain: 'shop.svc.cluster.local',
      interception: 'REDIRECT',
      certificates: true,
    }),
  ],
};
