import { expect, it } from 'vitest';
import { authorizations, configObjects, kindNames } from '../src/config-page.ts';
import type { ObjectView } from '../src/core/object-view.ts';
import type { RawObject } from '../src/kind.ts';

function view(raw: RawObject, more: Partial<ObjectView> = {}): ObjectView {
  const { kind } = raw;
  const subject = { group: 'networking.istio.io', kind, namespace: 'shop', name: 'cart' };
  return { ...subject, raw, origin: 'cart.yaml:1', state: 'good', ...more };
}

const metadata = { name: 'cart', namespace: 'shop' };

it('configz shows objects as Kubernetes has them, and where they are from', () => {
  const apiVersion = 'networking.istio.io/v1';
  const labels = { app: 'cart' };
  const annotations = { a: '1', 'kubectl.kubernetes.io/last-applied-configuration': '{…}' };
  const spec = { hosts: ['cart'] };
  const raw = {
    ...{ apiVersion, kind: 'VirtualService', spec, status: { x: 1 } },
    metadata: { ...metadata, labels, annotations, uid: '1' },
  };
  expect(configObjects([view(raw)])).toEqual([
    {
      ...{ apiVersion, kind: 'VirtualService', spec },
      metadata: { ...metadata, labels, annotations: { a: '1' } },
      ...{ origin: 'cart.yaml:1', state: 'good' },
    },
  ]);
  const held = view(raw, { raw: undefined, state: 'held' });
  expect(configObjects([held])).toMatchObject([{ kind: 'VirtualService', metadata }]);
});

it('configz shows nothing of what a Secret keeps', () => {
  const secret = {
    ...{ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls' },
    ...{ data: { 'tls.key': 'private' }, stringData: { 'tls.key': 'private' } },
    metadata: { ...metadata, annotations: { copy: 'private' } },
  };
  const page = JSON.stringify(configObjects([view(secret)]));
  expect(page).toContain('"cart"');
  expect(page).not.toContain('private');
});

it('resourcesz names kinds by their preferred version', () => {
  const kinds = [
    { apiVersions: ['v1'], kind: 'Service' },
    { apiVersions: ['networking.istio.io/v1', 'networking.istio.io/v1beta1'], kind: 'Gateway' },
  ];
  expect(kindNames(kinds)).toEqual([
    { group: '', version: 'v1', kind: 'Service' },
    { group: 'networking.istio.io', version: 'v1', kind: 'Gateway' },
  ]);
});

it('authorizationz has the policies in force by namespace', () => {
  const apiVersion = 'security.istio.io/v1';
  const spec = { action: 'DENY' };
  const raw = { apiVersion, kind: 'AuthorizationPolicy', spec, metadata };
  const page = authorizations(
    [view(raw), view(raw, { name: 'bad', state: 'refused' }), view({ ...raw, kind: 'Gateway' })],
    'istio-system',
  );
  expect(page).toEqual({
    authorization_policies: {
      namespace_to_policies: {
        shop: [{ name: 'cart', namespace: 'shop', annotations: null, spec }],
      },
      root_namespace: 'istio-system',
    },
  });
});
