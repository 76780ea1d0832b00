// The one error class of this module: why a call of Firecracker's API did not succeed.

/**
 * `invalid`: the request is not of the API's form and was not sent. `refused`: Firecracker answered with an error, whose
 * `fault_message` is the detail. `misunderstood`: what came back is no answer of this API. `lost`: the connection ended first.
 */
export type FirecrackerApiErrorKind = "invalid" | "refused" | "misunderstood" | "lost";

export type FirecrackerApiErrorData = {
  kind: FirecrackerApiErrorKind;
  /** Method and path, as `PUT /boot-source`; null when no call was under way. */
  call: string | null;
  /** HTTP status, where there was one. */
  status: number | null;
  detail: string;
};

export class FirecrackerApiError extends Error {
  readonly kind: FirecrackerApiErrorKind;
  readonly call: string | null;
  readonly status: number | null;
  readonly detail: string;

  constructor(data: FirecrackerApiErrorData, cause?: unknown) {
    super(`${data.call ?? "the connection"}: ${data.detail}`, cause === undefined ? undefined : { cause });
    this.name = "FirecrackerApiError";
    this.kind = data.kind;
    this.call = data.call;
    this.status = data.status;
    this.detail = data.detail;
  }
}
