/** The ingester's pages under /debug. */
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import { authorizations, configObjects, kindNames } from './config-page.ts';
import type { Diagnostic } from './core/diagnostics.ts';
import type { HeldObject } from './core/holds.ts';
import type { Ingest } from './core/ingest.ts';

/** What the pages show and do. */
export interface Shown {
  diagnostics(): readonly Diagnostic[];
  held(): readonly HeldObject[];
  confirm(source?: string): readonly HeldObject[];
}

export function debugPages(
  shown: Shown,
  ingest: Pick<Ingest, 'objects' | 'kinds'>,
  rootNamespace: string,
): readonly DebugPage[] {
  return [
    {
      path: '/debug/configz',
      doc: 'The objects of all sources, where each is written, and whether it is used (istiod).',
      handle: () => configObjects(ingest.objects()),
    },
    {
      path: '/debug/resourcesz',
      doc: 'The kinds that are read (istiod).',
      handle: () => kindNames(ingest.kinds),
    },
    {
      path: '/debug/authorizationz',
      doc: 'AuthorizationPolicies by namespace (istiod).',
      handle: () => authorizations(ingest.objects(), rootNamespace),
    },
    {
      path: '/debug/diagnosticz',
      doc: 'What is wrong with the configuration, by object.',
      handle: () => shown.diagnostics().map(dated),
    },
    {
      path: '/debug/heldz',
      doc: 'Deletions that wait for /debug/confirm, because too much was gone at once.',
      handle: () => shown.held().map(dated),
    },
    {
      path: '/debug/confirm',
      doc: 'Lets held deletions through: all, or those of ?source=.',
      method: 'POST',
      handle: ({ query }) => confirm(shown, query.get('source') ?? undefined),
    },
  ];
}

function confirm(shown: Shown, source: string | undefined): string {
  if (source !== undefined && !shown.held().some((held) => held.source === source)) {
    throw new OperatingError('not-found', `nothing of ${JSON.stringify(source)} is held`);
  }
  const released = shown.confirm(source).map(({ subject }) => {
    const { kind, namespace, name } = subject;
    return `  ${kind} ${namespace === '' ? name : `${namespace}/${name}`}\n`;
  });
  return released.length === 0
    ? 'nothing is held\n'
    : `released the deletion of ${released.length} objects:\n${released.join('')}`;
}

function dated<T extends { readonly sinceMs: number }>(
  found: T,
): Omit<T, 'sinceMs'> & { readonly since: string } {
  const { sinceMs, ...rest } = found;
  return { ...rest, since: new Date(sinceMs).toISOString() };
}
