<#macro content>
<#if ["login", "login-username", "login-password"]?seq_contains(pageId!"") && realm.attributes["gaitkeeper.issuer"]?? && (authenticationSession.tabId)??>
<div id="gaitkeeper" hidden data-attempt="${authenticationSession.tabId}" data-secret="${realm.attributes["gaitkeeper.secretFields"]!"positions"}" data-transport="${realm.attributes["gaitkeeper.transport"]!"form"}" data-site="${realm.attributes["gaitkeeper.siteKey"]!}" data-endpoint="${realm.attributes["gaitkeeper.audience"]!}"></div>
<p id="gaitkeeper-notice">${msg("gaitkeeperNotice")}</p>
</#if>
</#macro>
