# The four rules as a policy for the Open Policy Agent: an object for each rule and connection that breaks it.
#
# Of the forms that were measured, none was faster: options in a data file, the answer as data instead of input, one
# pass over the connections for all rules, and -O1 took as long or longer, and -O2 a third longer.
package audit

limit := time.parse_rfc3339_ns("2026-11-24T08:00:00Z") + (((7 * 24) * 3600) * 1000000000)

denied := {"none", "basic", "oauth2/password"}

required := {
	"salesforce": [["api"], ["refresh_token", "offline_access"]],
	"hubspot": [["oauth"], ["crm.objects.contacts.read"]],
	"google": [["https://www.googleapis.com/auth/gmail.readonly"]],
	"microsoft": [["offline_access"], ["https://graph.microsoft.com/Mail.Read", "Mail.Read"]],
	"slack": [["channels:read"]],
}

findings contains finding("no-bad-credentials", c, "the provider refuses its credentials") if {
	some c in input
	c.status == "bad_credentials"
}

findings contains finding("required-scopes", c, sprintf("not granted: %s", [concat(", ", missing)])) if {
	some c in input
	granted := c.oauth2AuthorizationCode.scopes
	some choices in required[c.provider]
	not any_of(choices, granted)
	missing := [concat(" or ", each) | some each in required[c.provider]; not any_of(each, granted)]
}

findings contains finding("token-expiry", c, sprintf("refresh token expires at %s", [expires])) if {
	some c in input
	expires := c.oauth2AuthorizationCode.refreshToken.expiresAt
	time.parse_rfc3339_ns(expires) < limit
}

findings contains finding("token-expiry", c, sprintf("access token expires at %s", [expires])) if {
	some c in input
	not c.oauth2AuthorizationCode.refreshToken
	expires := c.oauth2AuthorizationCode.accessToken.expiresAt
	time.parse_rfc3339_ns(expires) < limit
}

findings contains finding("allowed-auth-schemes", c, sprintf("its authentication scheme %s is denied", [c.authScheme])) if {
	some c in input
	c.authScheme in denied
}

any_of(choices, granted) if {
	some scope in choices
	scope in granted
}

finding(rule, c, cause) := {
	"rule": rule,
	"connection": c.id,
	"message": sprintf("%s (%s, %s): %s", [c.id, c.provider, c.group.groupName, cause]),
}
