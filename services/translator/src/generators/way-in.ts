/** One kind of connection that an inbound listener lets in. */
export interface WayIn {
  /** What the client says that it speaks, one of these. Absent: anything. */
  readonly protocols?: readonly string[];
  readonly transport: 'tls' | 'raw_buffer';
  /** Requests, else raw bytes. */
  readonly http: boolean;
  /** Mutual TLS is ended here; else TLS passes through as it is. */
  readonly endsTls: boolean;
}
