/** The queries that all of assembly stands on, and a client as they see it. */
import type { Reader } from '@watershed/derive/graph.ts';
import { OutboundMode } from '@watershed/model/gen/model.ts';
import { ProxyType, type ScopeClass } from '@watershed/model/gen/record.ts';
import type { Inputs } from '../inputs.ts';
import { createAuthenticationQueries, type AuthenticationQueries } from './authentication.ts';
import { createMeshQueries, type MeshQueries } from './mesh.ts';
import { createPolicyQueries, type PolicyQueries } from './policies.ts';
import { createSelectorQueries, type SelectorQueries } from './selectors.ts';
import { createServiceQueries, type ServiceQueries, type ServiceChoice } from './services.ts';
import { createVisibilityQueries, type VisibilityQueries } from './visibility.ts';

export interface Core {
  readonly inputs: Inputs;
  readonly mesh: MeshQueries;
  readonly services: ServiceQueries;
  readonly policies: PolicyQueries;
  readonly visibility: VisibilityQueries;
  readonly selectors: SelectorQueries;
  readonly authentication: AuthenticationQueries;
}

export function createCore(inputs: Inputs): Core {
  const mesh = createMeshQueries(inputs);
  const services = createServiceQueries(inputs);
  const policies = createPolicyQueries(inputs, mesh, services);
  const visibility = createVisibilityQueries(inputs, mesh, services);
  const selectors = createSelectorQueries(inputs, mesh);
  const authentication = createAuthenticationQueries(inputs);
  return { inputs, mesh, services, policies, visibility, selectors, authentication };
}

/**
 * A scope with what it shares with others looked up: clients with equal parts share what is made of
 * them.
 */
export interface Client {
  readonly scope: ScopeClass;
  readonly router: boolean;
  /** Reference of its mesh settings. */
  readonly mesh: string;
  /** Id of its view. */
  readonly view: string;
  /** Its policy class. */
  readonly policies: string;
  /** Of its labels those that some route's `sourceLabels` reads. */
  readonly routeLabels: Readonly<Record<string, string>>;
}

export function clientOf(core: Core, read: Reader, scope: ScopeClass): Client {
  const { namespace, labels } = scope;
  const router = scope.type === ProxyType.PROXY_TYPE_ROUTER;
  const mesh = read.query(core.mesh.refOf, scope.cluster);
  const key = { namespace, labels, mesh, router };
  const sourceLabels = read.query(core.selectors.sourceLabels, namespace);
  return {
    scope,
    router,
    mesh,
    view: read.query(core.visibility.viewOf, key),
    policies: read.query(core.policies.clientClass, { namespace, labels, mesh }),
    routeLabels: pickLabels(labels, sourceLabels),
  };
}

export function pickLabels(
  labels: Readonly<Record<string, string>>,
  keys: readonly string[],
): Readonly<Record<string, string>> {
  const picked: Record<string, string> = {};
  for (const key of keys) {
    const value = labels[key];
    if (value !== undefined) picked[key] = value;
  }
  return picked;
}

/** Keys of the policies that hold for a service, for clients of a class; '' for none. */
export function policyOf(
  core: Core,
  read: Reader,
  service: ServiceChoice & { readonly namespace: string },
  client: { readonly policies: string; readonly mesh: string },
): string {
  return read.query(core.policies.effective, {
    class: client.policies,
    mesh: client.mesh,
    host: service.host,
    serviceNamespace: service.namespace,
  });
}

/** Whether requests to hosts that a client does not see are refused. */
export function isRegistryOnly(core: Core, read: Reader, view: string, mesh: string): boolean {
  const own = read.query(core.visibility.view, view).outboundMode;
  const mode = own ?? read.query(core.mesh.outboundMode, mesh);
  return mode === OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY;
}
