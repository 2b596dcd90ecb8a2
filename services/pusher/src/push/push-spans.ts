import type { Span, Tracing } from '@watershed/runtime/tracing.ts';
import type { ScopeView } from '../view/scope-view.ts';

interface Open {
  readonly view: ScopeView;
  readonly span: Span;
  readonly streams: number;
  converged: number;
}

/**
 * One span per view of a scope: from the change that it came from, over the log, until all streams
 * of the scope have it, or until it is replaced.
 */
export class PushSpans {
  readonly #tracing: Tracing;
  readonly #open = new Map<string, Open>();

  constructor(tracing: Tracing) {
    this.#tracing = tracing;
  }

  begin(view: ScopeView, types: readonly string[], streams: number): void {
    this.#end(view.scope);
    if (view.trace === undefined || streams === 0) return;
    const span = this.#tracing.start('push', {
      parent: view.trace,
      attributes: {
        'watershed.scope': view.scope,
        'watershed.epoch': view.epoch,
        'watershed.types': types.join(','),
        'watershed.streams': streams,
      },
    });
    if (span.recording) this.#open.set(view.scope, { view, span, streams, converged: 0 });
    else span.end();
  }

  /** A stream has all of the view. */
  converged(view: ScopeView): void {
    const open = this.#open.get(view.scope);
    if (open?.view !== view) return;
    open.converged++;
    if (open.converged >= open.streams) this.#end(view.scope);
  }

  stop(): void {
    for (const scope of this.#open.keys()) this.#end(scope);
  }

  #end(scope: string): void {
    const open = this.#open.get(scope);
    if (open === undefined) return;
    this.#open.delete(scope);
    open.span.set('watershed.converged', open.converged);
    open.span.end();
  }
}
