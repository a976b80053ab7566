import { TidemarkError, messageOf } from "../../core/errors.ts";
import { type Credentials, isIssuedBy, readCertificate } from "./credentials.ts";
import { errnoOf } from "./files.ts";

export interface Attempt {
  /** What was dialled. */
  readonly url: string;
  readonly credentials?: Credentials | undefined;
  /** This machine's clock, ms since the epoch. */
  readonly now: number;
}

/** Why a connection could not be made, as a code and a sentence that says what to do. */
export function connectionError(cause: unknown, attempt: Attempt): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  const errno = errnoOf(cause) ?? "";
  const refused = serverCertificateProblem(errno, attempt) ?? ownCertificateProblem(errno, attempt);
  const code = refused === undefined ? "NOT_REACHABLE" : "CERTIFICATE_REFUSED";
  return new TidemarkError(code, refused ?? unreachable(errno, cause, attempt.url), {
    cause,
    data: { url: attempt.url, ...(errno && { reason: errno }) },
  });
}

function serverCertificateProblem(errno: string, { url, now }: Attempt): string | undefined {
  const clock = new Date(now).toISOString();
  switch (errno) {
    case "CERT_HAS_EXPIRED":
      return (
        `by this machine's clock (${clock}) the certificate of ${url} is over: set the clock if it is wrong, ` +
        "else restart the cloud, which makes itself a new one"
      );
    case "CERT_NOT_YET_VALID":
      return (
        `by this machine's clock (${clock}) the certificate of ${url} is not valid yet: set the clock if it is wrong; ` +
        "Tidemark's own begin in 1970"
      );
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return (
        `the certificate of ${url} is for other names: dial one of those, or start the cloud with ` +
        `--advertise-address ${hostOf(url)}`
      );
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "CERT_SIGNATURE_FAILURE":
    case "INVALID_PURPOSE":
      return (
        `the certificate of ${url} is not from the authority in ca.crt: it is another cloud, or its authority was made ` +
        "anew; have it issue this certificate again"
      );
    default:
      return undefined;
  }
}

/** A TLS alert of the server's, or credentials that OpenSSL can't load: says what is wrong, as far as can be seen here. */
function ownCertificateProblem(errno: string, { url, credentials, now }: Attempt): string | undefined {
  const again = "have the cloud issue it again";
  if (errno.startsWith("ERR_OSSL_")) {
    return `the certificate, its key and the authority for ${url} can't be used together: ${again}`;
  }
  if (!/^ERR_SSL_.*ALERT.*(?:CERTIFICATE|UNKNOWN_CA)/.test(errno)) return undefined;
  const certificate = credentials && readCertificate(credentials.cert);
  if (certificate === undefined || credentials === undefined) {
    return `${url} asks for a certificate, and there is none to show: have the cloud issue one`;
  }
  const end = Date.parse(certificate.validTo);
  if (end < now) {
    return (
      `by this machine's clock (${new Date(now).toISOString()}) our certificate ended ${new Date(end).toISOString()}: ` +
      `set the clock if it is wrong, else ${again}`
    );
  }
  if (!isIssuedBy(certificate, credentials.ca))
    return `our certificate is not from the authority of ${url}: ${again}`;
  return `${url} did not accept our certificate: if the clock of that machine is right, ${again}`;
}

function unreachable(errno: string, cause: unknown, url: string): string {
  switch (errno) {
    case "ECONNREFUSED":
      return `nothing listens at ${url}: is it running, and is the port right?`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name in ${url} can't be looked up: is it right, and is there a network?`;
    case "ECONNRESET":
    case "EPIPE":
      return `${url} hung up before it answered: it may be stopping, or too busy`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `there is no way to ${url}: is there a network?`;
    case "ETIMEDOUT":
      return `${url} did not answer in time`;
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return `what listens at ${url} does not speak TLS: is the port right?`;
    default:
      return `${url} can't be reached: ${messageOf(cause)}`;
  }
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : url;
}
