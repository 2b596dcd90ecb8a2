/** Pages under /debug: what a part shows of itself, over HTTP and by istio's xDS types. */

export interface DebugRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  /** Text of a POST; at most 1 MiB. */
  readonly body: string;
}

/** A text is sent as it is, anything else as indented JSON. */
export type DebugReply = string | object;

/** A page under /debug. */
export interface DebugPage {
  readonly path: `/debug/${string}`;
  /** One line for the index. */
  readonly doc: string;
  /** Default GET. What changes something is POST. */
  readonly method?: 'GET' | 'POST';
  /** An `OperatingError` becomes a status of its code. */
  readonly handle: (request: DebugRequest) => DebugReply | Promise<DebugReply>;
}

/**
 * Pages by path, those of one path as one, and `/debug/list`, which names those that can be read,
 * as istiod's does: `istioctl x internal-debug --list` shows it.
 */
export function pagesByPath(pages: readonly DebugPage[]): ReadonlyMap<string, DebugPage> {
  const read = pages.filter(({ method }) => method !== 'POST').map(({ path }) => path);
  const names = [...new Set(read)].map((path) => path.slice('/debug/'.length)).sort();
  const list: DebugPage = {
    path: '/debug/list',
    doc: 'the names of the pages that can be read, as JSON (istiod)',
    handle: () => names,
  };
  const byPath = Map.groupBy([...pages, list], ({ path }) => path);
  return new Map([...byPath].map(([path, same]) => [path, one(same)]));
}

/** A page that several parts of a process have lists what is in each. */
function one(pages: readonly DebugPage[]): DebugPage {
  const [first, ...others] = pages;
  if (first === undefined) throw new RangeError('no page');
  if (others.length === 0) return first;
  const handle = async (request: DebugRequest): Promise<DebugReply> =>
    (await Promise.all(pages.map(async (page) => await page.handle(request)))).flat();
  return { ...first, handle };
}

export function textOf(reply: DebugReply): string {
  return typeof reply === 'string' ? reply : `${JSON.stringify(reply, undefined, 2)}\n`;
}
