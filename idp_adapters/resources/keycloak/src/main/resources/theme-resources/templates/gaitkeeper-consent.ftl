<#import "template.ftl" as layout>
<@layout.registrationLayout displayMessage=false; section>
<#if section = "header">
${msg("gaitkeeperConsentTitle")}
<#elseif section = "form">
<form id="gaitkeeper-consent" class="${properties.kcFormClass!}" action="${url.loginAction}" method="post" data-version="${gaitkeeperVersion}">
<p>${msg("gaitkeeperConsentText")}</p>
<#-- Equal weight: neither answer is the prominent one. -->
<div class="${properties.kcFormButtonsClass!}">
<button id="gaitkeeper-give" class="${properties.kcButtonClass!} ${properties.kcButtonSecondaryClass!}" type="submit" name="gaitkeeper_choice" value="given">${msg("gaitkeeperConsentGive")}</button>
<button id="gaitkeeper-refuse" class="${properties.kcButtonClass!} ${properties.kcButtonSecondaryClass!}" type="submit" name="gaitkeeper_choice" value="refused">${msg("gaitkeeperConsentRefuse")}</button>
</div>
</form>
</#if>
</@layout.registrationLayout>
