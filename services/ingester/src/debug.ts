/** The ingester's pages under /debug. */
import { sleep, type Time } from '@watershed/runtime/clock.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import { authorizations, configObjects, kindNames } from './config-page.ts';
import type { Diagnostic } from './core/diagnostics.ts';
import type { HeldObject } from './core/holds.ts';
import type { Ingest } from './core/ingest.ts';
import type { SourceSettings } from './kind.ts';

/** What the pages show and do. */
export interface Shown {
  diagnostics(): readonly Diagnostic[];
  held(): readonly HeldObject[];
  confirm(source?: string): readonly HeldObject[];
  flushed(): Promise<void>;
}

/** How long `/debug/confirm` waits for the log. */
const maxConfirmMs = 10_000;

export function debugPages(
  shown: Shown,
  ingest: Pick<Ingest, 'objects' | 'kinds'>,
  { settings, time }: { readonly settings: SourceSettings; readonly time: Time },
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
      handle: () => authorizations(ingest.objects(), settings.rootNamespace),
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
      handle: ({ query }) => confirm(shown, time, query.get('source') ?? undefined),
    },
  ];
}

/** Answers when it is on the log: until then, a restart holds it again. */
async function confirm(shown: Shown, time: Time, source: string | undefined): Promise<string> {
  if (source !== undefined && !shown.held().some((held) => held.source === source)) {
    throw new OperatingError('not-found', `nothing of ${JSON.stringify(source)} is held`);
  }
  const released = shown.confirm(source).map(({ subject }) => {
    const { kind, namespace, name } = subject;
    return `  ${kind} ${namespace === '' ? name : `${namespace}/${name}`}\n`;
  });
  if (released.length === 0) return 'nothing is held\n';
  const stop = new AbortController();
  const isDurable = await Promise.race([
    shown.flushed().then(() => true),
    sleep(time, maxConfirmMs, stop.signal).then(
      () => false,
      () => false,
    ),
  ]);
  stop.abort();
  const note = isDurable
    ? ''
    : ' (the log does not take it yet: until it does, a restart holds them)';
  return `released the deletion of ${released.length} objects${note}:\n${released.join('')}`;
}

function dated<T extends { readonly sinceMs: number }>(
  found: T,
): Omit<T, 'sinceMs'> & { readonly since: string } {
  const { sinceMs, ...rest } = found;
  return { ...rest, since: new Date(sinceMs).toISOString() };
}
