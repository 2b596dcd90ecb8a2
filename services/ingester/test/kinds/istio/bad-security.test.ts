import { describe, expect, it } from 'vitest';
import type { Case } from '../bad-input.ts';
import { expectSaid, saidOf } from '../bad-input.ts';

const of = (kind: string) => ({ apiVersion: 'security.istio.io/v1', kind });
const rule = (fields: string): string => `{ rules: [{ ${fields} }] }`;
const from = (source: string): string => rule(`from: [{ source: { ${source} } }]`);
const to = (operation: string): string => rule(`to: [{ operation: { ${operation} } }]`);
const when = (condition: string): string => rule(`when: [{ ${condition} }]`);

const policies: readonly Case[] = [
  ['{}'],
  [rule('')],
  ['{ rulez: [] }', 'error: spec.rulez: no such field'],
  ['{ action: PERMIT }', 'error: spec.action'],
  ['{ action: DENY }', 'error: spec.rules: is required: without rules it never applies'],
  [
    '{ action: CUSTOM }',
    'error: spec.provider.name: is required',
    'error: spec.rules: is required',
  ],
  ['{ provider: { name: a } }', 'error: spec.provider: must not be set without CUSTOM'],
  [
    '{ selector: { matchLabels: { "a*": b } } }',
    'error: spec.selector.matchLabels["a*"]: must not contain wildcards',
  ],
  ['{ selector: {} }', 'warning: spec.selector.matchLabels: is without labels'],
  [
    '{ selector: { matchLabels: { a: b } }, targetRefs: [{ kind: Gateway, name: g }] }',
    'error: spec: only one of selector, targetRef and targetRefs',
  ],
  [
    '{ targetRefs: [{ group: g }] }',
    'error: spec.targetRefs[0].name: is required',
    'error: spec.targetRefs[0].kind: is required',
  ],
  [rule('from: [{}]'), 'error: spec.rules[0].from[0].source: is required'],
  [from(''), 'error: spec.rules[0].from[0].source: must not be empty'],
  [
    from('principals: [""]'),
    'error: spec.rules[0].from[0].source.principals[0]: must not be empty',
  ],
  [
    from('ipBlocks: [10.0.0.0/33], notIpBlocks: [x]'),
    'error: spec.rules[0].from[0].source.ipBlocks[0]: must be an IP address or a CIDR',
    'error: spec.rules[0].from[0].source.notIpBlocks[0]: must be an IP address or a CIDR',
  ],
  [
    from('serviceAccounts: [a/b/c, "*"]'),
    'error: spec.rules[0].from[0].source.serviceAccounts[0]: must be the name of a service account',
    'error: spec.rules[0].from[0].source.serviceAccounts[1]: must be the name of a service account',
  ],
  [
    from('serviceAccounts: [a], namespaces: [b]'),
    'error: spec.rules[0].from[0].source.serviceAccounts: must not be set beside',
  ],
  [to(''), 'error: spec.rules[0].to[0].operation: must not be empty'],
  [rule('to: [{}]'), 'error: spec.rules[0].to[0].operation: is required'],
  [
    to('ports: ["0", http], notPorts: ["65536"]'),
    'error: spec.rules[0].to[0].operation.ports[0]: must be a port',
    'error: spec.rules[0].to[0].operation.ports[1]: must be a port',
    'error: spec.rules[0].to[0].operation.notPorts[0]: must be a port',
  ],
  [to('ports: [80]'), 'error: spec.rules[0].to[0].operation.ports[0]'],
  [to('methods: [GET]'), 'warning: spec.rules[0]: allows nothing: ztunnel cannot check'],
  [when('values: [a]'), 'error: spec.rules[0].when[0].key: is required'],
  [when('key: source.port, values: ["1"]'), 'error: spec.rules[0].when[0].key: is no attribute'],
  [when('key: source.ip'), 'error: spec.rules[0].when[0].values: or notValues is required'],
  [
    when('key: source.ip, values: [a], notValues: [""]'),
    'error: spec.rules[0].when[0].values[0]: must be an IP address',
    'error: spec.rules[0].when[0].notValues[0]: must not be empty',
  ],
  [
    when('key: destination.port, values: [a]'),
    'error: spec.rules[0].when[0].values[0]: must be a port',
  ],
];

const authentications: readonly Case[] = [
  ['{}'],
  ['{ mtls: { mode: STRICT } }'],
  ['{ mtls: { mode: STRONG } }', 'error: spec.mtls.mode'],
  ['{ mode: STRICT }', 'error: spec.mode: no such field'],
  [
    '{ portLevelMtls: { 80: { mode: STRICT } } }',
    'error: spec.portLevelMtls: must not be set without a selector',
  ],
  [
    '{ selector: { matchLabels: { a: b } }, portLevelMtls: { 0: {}, 65536: {} } }',
    'error: spec.portLevelMtls.0: must be a port',
    'error: spec.portLevelMtls.65536: must be a port',
  ],
  [
    '{ selector: { matchLabels: { a: "*" } } }',
    'error: spec.selector.matchLabels.a: must not contain wildcards',
  ],
];

describe.each([
  ['AuthorizationPolicy', policies],
  ['PeerAuthentication', authentications],
] as const)('%s', (kind, cases) => {
  it.each(cases.map((one) => [one[0], one] as const))('%s', (_spec, one) => {
    expectSaid(of(kind), one);
  });

  it('is refused as a whole when anything in it is wrong', () => {
    for (const [spec, ...expected] of cases) {
      const isWrong = expected.some((said) => said.startsWith('error'));
      expect([spec, saidOf(of(kind), spec).isTaken]).toEqual([spec, !isWrong]);
    }
  });
});
