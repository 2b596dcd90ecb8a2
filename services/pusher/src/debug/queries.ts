/**
 * Answers to istio's questions over xDS (see `push/debug-queries.ts`), in istiod's shapes
 * (istio/istio `pilot/pkg/xds/statusgen.go` and `debuggen.go`). It loads codecs: only when somebody
 * asks.
 */
import type { Any } from '@watershed/proto/google/protobuf/any.ts';
import {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { ClientConfig } from '@watershed/proto/envoy/service/status/v3/csds.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { textOf, type DebugPage } from '@watershed/runtime/debug-pages.ts';
import { describeError, OperatingError, toOperatingError } from '@watershed/runtime/errors.ts';
import type { DebugQuery } from '../push/debug-queries.ts';
import type { XdsStream } from '../push/stream.ts';
import { dumpsOf } from './config-dump.ts';
import { findProxy } from './proxies.ts';
import { clientConfigs } from './sync-status.ts';

export interface QueryOptions {
  readonly streams: Iterable<XdsStream>;
  readonly time: Time;
  /** This pusher's name and version, for people who ask several. */
  readonly name: string;
  readonly version: string;
  /** By path. */
  readonly pages: ReadonlyMap<string, DebugPage>;
}

interface Answer {
  readonly name: string;
  readonly any: Any;
}

const clientConfigType = 'type.googleapis.com/envoy.service.status.v3.ClientConfig';

/** The encoded response. @throws OperatingError `invalid` for what istiod refuses as well */
export async function answerTo(query: DebugQuery, options: QueryOptions): Promise<Uint8Array> {
  const { mode, typeUrl, nonce } = query;
  const answers = await answersTo(query, options);
  const identifier = JSON.stringify({
    Component: 'watershed',
    ID: options.name,
    Info: { version: options.version },
  });
  const common = {
    typeUrl,
    nonce,
    ...(typeUrl === 'istio.io/debug/syncz' ? { controlPlane: { identifier } } : {}),
  };
  if (mode === 'sotw') {
    const resources = answers.map(({ any }) => any);
    return DiscoveryResponse.encode(
      DiscoveryResponse.fromPartial({ ...common, versionInfo: nonce, resources }),
    ).finish();
  }
  const resources = answers.map(({ name, any }) => ({ name, version: nonce, resource: any }));
  return DeltaDiscoveryResponse.encode(
    DeltaDiscoveryResponse.fromPartial({ ...common, resources }),
  ).finish();
}

async function answersTo(query: DebugQuery, options: QueryOptions): Promise<readonly Answer[]> {
  const { typeUrl, names } = query;
  const { streams, time } = options;
  switch (typeUrl) {
    case 'istio.io/debug':
      return [await page(names, options)];
    case 'istio.io/debug/syncz':
      return clientConfigs(streams, time).map((config) => ({
        name: config.node?.id ?? '',
        any: { typeUrl: clientConfigType, value: ClientConfig.encode(config).finish() },
      }));
    case 'istio.io/debug/config_dump':
      return dump(names, streams);
    default:
      return [];
  }
}

/** Nobody, for a name that nobody has: that proxy may be another replica's. */
function dump(names: readonly string[], streams: Iterable<XdsStream>): readonly Answer[] {
  const [name] = names;
  if (name === undefined || names.length > 1) return [];
  try {
    return dumpsOf(findProxy(streams, name)).map((any) => ({ name: '', any }));
  } catch (error) {
    if (toOperatingError(error).code === 'not-found') return [];
    throw error;
  }
}

/** A page as it is over HTTP; what is wrong is its text. */
async function page(names: readonly string[], { pages }: QueryOptions): Promise<Answer> {
  const [name] = names;
  if (name === undefined || names.length > 1) {
    throw new OperatingError('invalid', 'exactly one debug request is required');
  }
  const text = await textOfPage(name, pages);
  return { name, any: { typeUrl: 'istio.io/debug', value: Buffer.from(text) } };
}

async function textOfPage(name: string, pages: QueryOptions['pages']): Promise<string> {
  const url = URL.parse(`/debug/${name}`, 'http://debug');
  const found = url === null ? undefined : pages.get(url.pathname);
  // Go's words, by which istioctl knows that it is to show the list.
  if (url === null || found === undefined || found.method === 'POST') return notFound;
  try {
    const request = { method: 'GET', query: url.searchParams, body: '' };
    return textOf(await found.handle(request));
  } catch (error) {
    if (toOperatingError(error).code === 'internal') throw error;
    return `${describeError(error)}\n`;
  }
}

const notFound = '404 page not found\n';
