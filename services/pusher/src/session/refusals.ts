import type { TypeView } from '../view/type-view.ts';
import type { Outstanding } from './outstanding.ts';
import type { Quarantine, ScopeQuarantine } from './quarantine.ts';

/** What a client refused of one type, or is spared because others did. Most refuse nothing. */
export class Refusals {
  quarantine: Quarantine | undefined;
  /** For which target it was last looked through. */
  checkedFor: TypeView | undefined;
  /** For which target, and by which quarantine of the scope, it was last spared something. */
  sparedFor: TypeView | undefined;
  sparedBy: ScopeQuarantine | undefined;
  /** How many doubtful versions may be tried again at once; 0 until a later push was accepted. */
  probeSize = 0;
  /** When they are tried without that. */
  probeDueMs: number | undefined;
  /** Bounds what NACKs can cause until the next change. */
  resends = 0;
  /** For people; empty where nothing is refused any more. */
  lastError = '';
  count = 0;

  /** The client takes something, so what it refused before may be tried again. */
  took({ probed, frame }: Outstanding): void {
    // What is still refused is still told of.
    if (this.quarantine === undefined) this.lastError = '';
    if (probed > 0) this.probeSize = 2 * probed;
    else if (!frame.plan.heartbeat) this.probeHalf();
  }

  get doubtful(): Quarantine['doubtful'] {
    return this.quarantine?.doubtful ?? [];
  }

  probeHalf(): void {
    this.probeSize = (this.doubtful.length + 1) >> 1;
  }
}
